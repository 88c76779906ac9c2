"""BLIP describes photos; CLIP's tokenizers tell what becomes of the rare token and of long captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, BlipForConditionalGeneration
from transformers import logging as transformers_logging

from src.core.device import choose_device
from src.core.errors import CaptionError, ConfigError, ModelMismatchError
from src.core.progress import follow
from src.core.weights import find_model

transformers_logging.disable_progress_bar()

# CLIP's vocabulary is in the order of its merges, so roughly by frequency: the last tenth are rare pieces.
RARE_TAIL = 0.1


class Captioner(Protocol):
    """Describes photos in words.

    Attributes:
        note: What a person should know of the descriptions; may be empty.
    """

    note: str

    def describe(self, images: Sequence[Path]) -> list[str]:
        """Describes each image file in one sentence, whatever else is in the sequence."""


class BlipCaptioner:
    """Image captions by beam search.

    Paper: BLIP: Bootstrapping Language-Image Pre-training (Li et al., 2022), arXiv:2201.12086.

    Args:
        id: A folder, or a hub id.
        revision: The pinned commit on the hub; None for a folder.
        weights: The weight file; a ``.bin`` is read with torch's weights-only unpickler.
        num_beams: Beams of the search, >= 1.
        max_new_tokens: The longest caption, in pieces of BLIP's vocabulary.
        batch_size: Images at once; always full, so that a caption does not depend on how many photos there are.
        device: ``cuda`` or ``cpu``; None means cuda where there is one, else cpu.
        note: What a person should know of its captions; printed with some of them. May be empty.

    Raises:
        ConfigError: A value is out of range, or the device is not there.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - the key's name in every config group
        revision: str | None,
        weights: str,
        num_beams: int,
        max_new_tokens: int,
        batch_size: int,
        device: str | None,
        note: str,
    ) -> None:
        if num_beams < 1 or max_new_tokens < 1 or batch_size < 1:
            raise ConfigError(
                f"captioner: num_beams={num_beams}, max_new_tokens={max_new_tokens}, batch_size={batch_size}: "
                "expected 1 or more"
            )
        self.id = id
        self.revision = revision
        self.weights = weights
        self.num_beams = num_beams
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self.device = choose_device(device)
        self.note = note

    def describe(self, images: Sequence[Path]) -> list[str]:
        """Describes each image; loads the model, so that a set whose captions are all written needs none.

        Args:
            images: Image files, any size.

        Returns:
            One sentence each, perhaps empty.
        """
        folder = find_model(self.id, self.revision, ("*.json", "*.txt", self.weights))
        model = load_blip(folder, self.weights).to(self.device)
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        captions: list[str] = []
        starts = range(0, len(images), self.batch_size)
        for start in follow(starts, len(starts), "caption", f"batches of {self.batch_size}"):
            batch = [_open(path) for path in images[start : start + self.batch_size]]
            full = batch + [batch[-1]] * (self.batch_size - len(batch))
            captions += self._generate(model, processor, full)[: len(batch)]
        return captions

    @torch.inference_mode()
    def _generate(self, model: BlipForConditionalGeneration, processor: Any, images: list[Image.Image]) -> list[str]:
        pixel_values = processor(images=images, return_tensors="pt").pixel_values.to(self.device)
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            tokens = model.generate(
                pixel_values=pixel_values,
                num_beams=self.num_beams,
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
            )
        return [caption.strip() for caption in processor.batch_decode(tokens.cpu(), skip_special_tokens=True)]


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def load_blip(folder: Path, weights: str) -> BlipForConditionalGeneration:
    """Loads BLIP in fp32 for inference.

    Args:
        folder: A folder with config.json and the weight file.
        weights: The weight file's name.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        ModelMismatchError: The weights lack a tensor of the model, or hold one of another shape.
    """
    model, report = BlipForConditionalGeneration.from_pretrained(
        folder,
        dtype=torch.float32,
        use_safetensors=weights.endswith(".safetensors"),
        weights_only=True,
        local_files_only=True,
        output_loading_info=True,
    )
    # position_ids is a constant that older files store.
    if missing := sorted(key for key in report["missing_keys"] if not key.endswith("position_ids")):
        raise ModelMismatchError(f"{folder / weights}: {len(missing)} tensors of BLIP are missing, first {missing[0]}")
    return model.eval()


def load_tokenizers(model: Path) -> dict[str, Any]:
    """Loads the tokenizers of a diffusion model.

    Args:
        model: The diffusers folder of the base model.

    Returns:
        By the names of their folders: ``tokenizer``, and ``tokenizer_2`` and so on where the model has several.

    Raises:
        ModelMismatchError: There is no tokenizer.
    """
    folders = sorted(path for path in model.glob("tokenizer*") if path.is_dir())
    if not folders:
        raise ModelMismatchError(f"{model}: expected a diffusers model with a folder named tokenizer, found none")
    return {
        folder.name: AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        for folder in folders
    }


def count_tokens(text: str, tokenizer: Any) -> int:
    """Counts the tokens of a text, start and end included."""
    return len(tokenizer(text, truncation=False, verbose=False).input_ids)


def fits(text: str, tokenizers: Mapping[str, Any]) -> bool:
    """Tells whether no tokenizer cuts a text off."""
    return all(count_tokens(text, tokenizer) <= tokenizer.model_max_length for tokenizer in tokenizers.values())


def check_length(captions: Mapping[str, str], tokenizers: Mapping[str, Any]) -> None:
    """Checks that no caption is cut off by a tokenizer.

    Args:
        captions: Each photo's name and caption.
        tokenizers: The tokenizers of the base model.

    Raises:
        CaptionError: Captions are too long; all are listed.
    """
    long = []
    for photo, caption in captions.items():
        for name, tokenizer in tokenizers.items():
            count = count_tokens(caption, tokenizer)
            if count > tokenizer.model_max_length:
                limit = tokenizer.model_max_length
                long.append(f"{photo}: {count} tokens of {name}, at most {limit} fit: {caption!r}")
    if long:
        raise CaptionError("captions over the model's limit:\n  " + "\n  ".join(long))


@dataclass(frozen=True)
class TokenReport:
    """How a tokenizer splits the rare token; one row of metrics/tokens.csv."""

    tokenizer: str
    token: str
    pieces: str
    n_pieces: int
    single: bool
    warning: str


def report_token(token: str, tokenizers: Mapping[str, Any]) -> list[TokenReport]:
    """Tells how each tokenizer splits the rare token.

    DreamBooth (Ruiz et al., 2022, arXiv:2208.12242, section 3.2) wants a word that the model hardly knows: one rare
    piece or several. A piece that stands among the frequent ones of the vocabulary is a word with a meaning.

    Args:
        token: The rare token.
        tokenizers: The tokenizers of the base model.

    Returns:
        One row per tokenizer.
    """
    rows = []
    for name, tokenizer in tokenizers.items():
        ids = tokenizer(token, add_special_tokens=False).input_ids
        pieces = tokenizer.convert_ids_to_tokens(ids)
        ordinary = len(ids) == 1 and ids[0] < (1 - RARE_TAIL) * len(tokenizer)
        warning = f"{token!r} is an ordinary word to the model, which means something already" if ordinary else ""
        rows.append(TokenReport(name, token, " ".join(pieces), len(ids), len(ids) == 1, warning))
    return rows
