"""Writes a BLIP captioner as the published ones are stored."""

from pathlib import Path

import torch
from safetensors.torch import save
from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

from src.core.files import write_bytes


def save_captioner(folder: Path, model: BlipForConditionalGeneration, tokenizer: BertTokenizer) -> None:
    """Writes a BLIP as the published ones are stored; the same weights give the same bytes.

    Args:
        folder: Where to write; made if missing.
        model: With a square input.
        tokenizer: Its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    side = model.config.vision_config.image_size
    processor = BlipProcessor(
        image_processor=BlipImageProcessor(size={"height": side, "width": side}), tokenizer=tokenizer
    )
    processor.save_pretrained(folder)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    # The library's own writer picks the name of a shared tensor in the order of a set: not the same bytes each time.
    write_bytes(folder / "model.safetensors", save(_unique_tensors(model), metadata={"format": "pt"}))


def _unique_tensors(model: BlipForConditionalGeneration) -> dict[str, torch.Tensor]:
    kept: dict[int, str] = {}
    state = model.state_dict()
    for name in sorted(state):
        kept.setdefault(state[name].data_ptr(), name)
    return {name: state[name].contiguous() for name in sorted(kept.values())}
