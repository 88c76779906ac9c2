"""What a person asks inference.py for: prompts, seeds and a picture to begin with, as they type them."""

from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from src.core.errors import BadPhotoError, ConfigError
from src.core.files import has_file, sha256_bytes
from src.core.seeding import SEEDS
from src.data.photos.decode import decode_photo
from src.data.photos.header import DECODE_ERRORS, broken, read_header
from src.models.base import StartImage

# of a seed: zeros before it count as nothing, and Python reads no number of thousands of digits
MAX_DIGITS = 40
MAX_FILE_BYTES, MAX_PROMPTS, MAX_IMAGE_MEGAPIXELS = 1 << 20, 10_000, 100


def read_texts(prompt: Any, file: str | None) -> list[str]:
    """Reads the prompts.

    Args:
        prompt: A text, a list of them, or None.
        file: A text file with a prompt in each line, or None.

    Returns:
        At least one text, each once, in their order.

    Raises:
        ConfigError: There is none, both are given, or one cannot be used.
    """
    if prompt is not None and file is not None:
        raise ConfigError("prompt and prompt_file: expected one of them")
    if file is not None:
        texts = _lines(Path(file))
        if not texts:
            raise ConfigError(f"prompt_file={file}: expected a prompt in each line, found none")
    else:
        texts = prompt if isinstance(prompt, list) else [prompt]
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"prompt={text!r}: expected what is to be generated, a text or a list of texts")
    if len(texts) > MAX_PROMPTS or not texts:
        raise ConfigError(f"{len(texts)} prompts: expected 1 to {MAX_PROMPTS}")
    return list(dict.fromkeys(texts))


def _lines(path: Path) -> list[str]:
    if not has_file(path):
        raise ConfigError(f"prompt_file: no such file: {path}")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ConfigError(f"prompt_file={path}: over {MAX_FILE_BYTES >> 20} MiB; expected a prompt in each line")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompt_file={path}: expected text in UTF-8") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_seeds(seeds: Any) -> list[int] | None:
    """Reads the seeds.

    Args:
        seeds: A number, a list of numbers, or None; a number may be text.

    Returns:
        Each once, in their order; None if none are given.

    Raises:
        ConfigError: One is no whole number from 0 to 2^63 - 1.
    """
    if seeds is None:
        return None
    found = []
    for seed in seeds if isinstance(seeds, list) else [seeds]:
        text = str(seed)
        digits = text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS
        if isinstance(seed, bool) or not digits or int(text) not in SEEDS:
            raise ConfigError(
                f"seeds={text[:MAX_DIGITS]}: expected whole numbers from 0 to 2^63 - 1, one or a list: seeds=[1,2,3]"
            )
        found.append(int(text))
    if not found:
        raise ConfigError("seeds=[]: expected at least one")
    return list(dict.fromkeys(found))


def read_start(path: Path, width: int, height: int, strength: float) -> StartImage:
    """Reads a picture to begin with, as the stage `convert` reads photos: upright, 8-bit sRGB.

    Args:
        path: A photo or a generated picture.
        width: Pixels of what is generated: the picture's middle of this shape is resized to it.
        height: Likewise.
        strength: In (0, 1].

    Returns:
        The picture.

    Raises:
        ConfigError: There is no such file, it cannot be read, or the strength is out of range.
    """
    if not 0 < strength <= 1:
        raise ConfigError(f"strength={strength}: expected a number above 0, at most 1")
    if not has_file(path):
        raise ConfigError(f"init_image: no such file: {path}")
    image = ImageOps.fit(read_photo(path, "init_image"), (width, height), Image.Resampling.LANCZOS)
    return StartImage(image, sha256_bytes(f"{width}x{height}:".encode() + image.tobytes()), strength)


def read_photo(path: Path, key: str) -> Image.Image:
    """Reads a photo as the stage `convert` does.

    Args:
        path: An existing file.
        key: Who names it, for the message.

    Returns:
        Upright, 8-bit sRGB.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return decode_photo(path, read_header(path), MAX_IMAGE_MEGAPIXELS).image.convert("RGB")
    except BadPhotoError as error:
        raise ConfigError(f"{key}={path}: {error}") from error
    except DECODE_ERRORS as error:
        raise ConfigError(f"{key}={path}: {broken(error)}") from error
