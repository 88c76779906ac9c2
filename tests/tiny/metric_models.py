"""The metric models' true architectures in small, random weights: open_clip's CLIP, timm's ViT, torchvision's AlexNet.

Their numbers mean nothing. They exist so that the evaluation runs, and is tested, without a network: they come in
the public metric models' file formats and go through the same loaders.
"""

import math
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from src.core.files import write_json
from src.core.seeding import derive_seed

CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    # the vocabulary is that of open_clip's tokenizer, whatever the size of the model
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
VIT_ARCHITECTURE = "vit_small_patch16_224"
VIT_ARGUMENTS: dict[str, Any] = {"img_size": 28, "patch_size": 4, "embed_dim": 48, "depth": 2, "num_heads": 3}


def build_metric_models(folder: Path, seed: int) -> None:
    """Writes `folder`/clip, `folder`/dino and `folder`/alexnet; the same seed gives the same bytes.

    Args:
        folder: Where to write.
        seed: Of the weights.
    """
    _build_clip(folder / "clip", derive_seed(seed, "tiny", "judges", "clip"))
    _build_dino(folder / "dino", derive_seed(seed, "tiny", "judges", "dino"))
    _build_alexnet(folder / "alexnet", derive_seed(seed, "tiny", "judges", "alexnet"))


def _build_clip(folder: Path, seed: int) -> None:
    model = open_clip.CLIP(**CLIP_CONFIG)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_random_weights(model, seed), folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "open_clip_config.json", {"model_cfg": CLIP_CONFIG, "preprocess_cfg": {}})


def _build_dino(folder: Path, seed: int) -> None:
    model = timm.create_model(VIT_ARCHITECTURE, pretrained=False, num_classes=0, **VIT_ARGUMENTS)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_random_weights(model, seed), folder / "model.safetensors", metadata={"format": "pt"})
    config = {"architecture": VIT_ARCHITECTURE, "pretrained_cfg": {"num_classes": 0}, "model_args": VIT_ARGUMENTS}
    write_json(folder / "config.json", config)


def _build_alexnet(folder: Path, seed: int) -> None:
    # half precision on disk, and no classifier, which LPIPS does not use: 5 MB instead of 233
    with torch.device("meta"):
        model = torchvision.models.alexnet(weights=None)
    features = _random_weights(model.features, seed)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({f"features.{name}": value.half() for name, value in features.items()}, folder / "alexnet.pth")


def _random_weights(model: nn.Module, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: _random_tensor(name, value, generator) for name, value in sorted(model.state_dict().items())}


def _random_tensor(name: str, value: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(value.shape, generator=generator)
    if name == "logit_scale":
        return value.clone()
    if value.ndim < 2:
        is_norm_scale = name.endswith("weight")
        return 0.02 * noise + is_norm_scale
    # unit variance is kept from layer to layer, so that different images get visibly different features
    return noise / math.sqrt(value[0].numel())
