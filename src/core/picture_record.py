"""What a generated PNG says of how it was made, in a text chunk of our own: data from strangers, read as such.

The chunk is ASCII JSON. Nothing in it is a path, a key or an expression: each field has a kind and a range, and a PNG
whose fields are others is refused.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from src.core.errors import ConfigError
from src.core.files import has_file
from src.core.seeding import SEEDS

CHUNK = "heldout"
FORMAT = 1
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# of one chunk; a prompt that a text encoder takes has a few hundred characters
MAX_BYTES = 1 << 16
# before the pixels: there may be a colour profile
MAX_HEADER_BYTES = 1 << 24
MAX_TEXT, MAX_WORD, MAX_SIDE, MAX_ADAPTERS, MAX_OPTIONS = 8192, 128, 16384, 16, 64


@dataclass(frozen=True)
class PictureRecord:
    """All that decides a picture beside code and libraries.

    Attributes:
        format: Of this record.
        prompt: What the text encoder read.
        negative_prompt: What guidance leads away from.
        seed: Of the noise, as `torch.manual_seed` takes it.
        steps: Of the sampler.
        sampler: A scheduler class of diffusers.
        sampler_options: Its options.
        guidance_scale: Of classifier-free guidance.
        width: Pixels.
        height: Pixels.
        batch_size: Images at once, which may change the last bits.
        dtype: What the base model was kept in.
        device: cpu, cuda or mps.
        torch: The version that computed it.
        model: What configs/model call the base.
        model_sha256: Of its file or folder; of a hub id, of the text that names its pinned revision.
        adapters: Name, SHA-256 and weight of each.
        fuse: As of `inferencer.fuse`.
        start_sha256: Of the picture it began with, else empty.
        strength: As of that; 1 without.
    """

    format: int
    prompt: str
    negative_prompt: str
    seed: int
    steps: int
    sampler: str
    sampler_options: dict[str, Any]
    guidance_scale: float
    width: int
    height: int
    batch_size: int
    dtype: str
    device: str
    torch: str
    model: str
    model_sha256: str
    adapters: list[dict[str, Any]]
    fuse: bool | None
    start_sha256: str
    strength: float

    def dump(self) -> str:
        """Returns the chunk's text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def _text(longest: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and len(value) <= longest


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _number(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _options(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= MAX_OPTIONS
        and all(_text(MAX_WORD)(name) for name in value)
        and all(
            item is None or type(item) is bool or _text(MAX_WORD)(item) or _number(-1e6, 1e6)(item)
            for item in value.values()
        )
    )


def _adapters(value: Any) -> bool:
    kinds = {"name": _text(MAX_WORD), "sha256": _sha256, "weight": _number(-1e6, 1e6)}
    return (
        isinstance(value, list)
        and len(value) <= MAX_ADAPTERS
        and all(isinstance(one, dict) and one.keys() == kinds.keys() for one in value)
        and all(fits(one[name]) for one in value for name, fits in kinds.items())
    )


KINDS: Mapping[str, Callable[[Any], bool]] = {
    "format": _whole(FORMAT, FORMAT),
    "prompt": _text(MAX_TEXT),
    "negative_prompt": _text(MAX_TEXT),
    "seed": _whole(SEEDS.start, SEEDS.stop - 1),
    "steps": _whole(1, 100_000),
    "sampler": _text(MAX_WORD),
    "sampler_options": _options,
    "guidance_scale": _number(0, 1e6),
    "width": _whole(1, MAX_SIDE),
    "height": _whole(1, MAX_SIDE),
    "batch_size": _whole(1, 4096),
    "dtype": lambda value: value in ("fp32", "bf16", "fp16"),
    "device": lambda value: value in ("cpu", "cuda", "mps"),
    "torch": _text(MAX_WORD),
    "model": _text(MAX_WORD),
    "model_sha256": _sha256,
    "adapters": _adapters,
    "fuse": lambda value: value is None or type(value) is bool,
    "start_sha256": lambda value: value == "" or _sha256(value),
    "strength": _number(0, 1),
}
assert list(KINDS) == [field.name for field in fields(PictureRecord)]


def read_picture(path: Path) -> PictureRecord:
    """Reads how a picture was made.

    Args:
        path: A PNG, from anyone; its pixels are not decoded.

    Returns:
        What it says.

    Raises:
        ConfigError: It is no such file, no PNG, has no such chunk, or one that is not what `dump` makes.
    """
    text = _chunk(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: the text chunk {CHUNK} is no JSON") from error
    if not isinstance(content, dict) or content.keys() != KINDS.keys():
        raise ConfigError(f"{path}: the text chunk {CHUNK} has other fields than expected: {', '.join(KINDS)}")
    for name, fits in KINDS.items():
        if not fits(content[name]):
            raise ConfigError(f"{path}: the text chunk {CHUNK}: {name} is {str(content[name])[:80]!r}, out of range")
    return PictureRecord(**content)


def _chunk(path: Path) -> bytes:
    if not has_file(path):
        raise ConfigError(f"exp.from_image: no such file: {path}")
    with path.open("rb") as stream:
        if stream.read(len(SIGNATURE)) != SIGNATURE:
            raise ConfigError(f"{path}: no PNG")
        while True:
            head = stream.read(8)
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if len(head) < 8 or kind in (b"IDAT", b"IEND") or stream.tell() + size > MAX_HEADER_BYTES:
                break
            data, checksum = stream.read(size), stream.read(4)
            key, _, text = data.partition(b"\0")
            if kind == b"tEXt" and key == CHUNK.encode():
                if size > MAX_BYTES or zlib.crc32(kind + data).to_bytes(4, "big") != checksum:
                    raise ConfigError(f"{path}: the text chunk {CHUNK} is damaged, or over {MAX_BYTES >> 10} KiB")
                return text
    raise ConfigError(f"{path}: says nothing of how it was made: no text chunk {CHUNK} before its pixels")
