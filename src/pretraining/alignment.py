"""Lets a denoiser's middle say what a trained image encoder sees.

Paper: Representation Alignment for Generation (Yu et al., 2024), arXiv:2410.06940. Symbols: N training images, B batch,
D the encoder's features, s cells of the UNet's middle along a side.
"""

import json
import math
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity

from src.core.errors import ConfigError
from src.core.weights import check_saved
from src.features.preprocessing import IMAGENET, normalised
from src.models.tensors import load_tensors
from src.pretraining.images import to_unit

HIDDEN = 256


class Alignment:
    """Mean cosine between projected features of the UNet's middle block and patch features of the same picture.

    The encoder looks at each training image once, when it is built; an update costs a small projection.

    Args:
        encoder: A folder with timm's config.json and model.safetensors of a vision transformer.
        weight: Of the loss, > 0.

    Raises:
        ConfigError: The weight cannot work.
        MissingModelError: There is no encoder.
    """

    def __init__(self, encoder: str, weight: float) -> None:
        if not 0 < weight < math.inf:
            raise ConfigError(f"task.alignment.weight={weight}: expected a number above 0")
        check_saved(Path(encoder), f"task.alignment.encoder={encoder}: no vision transformer there")
        self.encoder, self.weight = Path(encoder), weight

    def prepare(self, unet: Any, pixels: Tensor, device: torch.device) -> None:
        """Looks at the training images and listens to the UNet's middle.

        Args:
            unet: Has a `mid_block`.
            pixels: (N, 3, S, S), uint8; S as the encoder has learnt to see.
            device: Of the UNet.
        """
        config = json.loads((self.encoder / "config.json").read_text(encoding="utf-8"))
        extractor = timm.create_model(config["architecture"], pretrained=False, num_classes=0, **config["model_args"])
        weights, _ = load_tensors(self.encoder / "model.safetensors")
        extractor.load_state_dict({name: value.float() for name, value in weights.items()})
        extractor.to(device).eval()
        downs = sum(block.downsamplers is not None for block in unet.down_blocks)
        side, width = int(unet.config.sample_size) >> downs, int(unet.config.block_out_channels[-1])
        self.targets = _look(extractor, pixels, side, device)
        self.projector = nn.Sequential(
            nn.Conv2d(width, HIDDEN, 1), nn.SiLU(), nn.Conv2d(HIDDEN, self.targets.shape[1], 1)
        ).to(device)
        self._heard: Tensor | None = None
        unet.mid_block.register_forward_hook(self._hear)

    def _hear(self, _block: nn.Module, _inputs: Any, output: Tensor) -> None:
        self._heard = output

    def loss(self, rows: Tensor) -> Tensor:
        """Compares what the UNet's middle said in its last forward pass with what the encoder sees.

        Args:
            rows: Which training images it saw, (B,), int64.

        Returns:
            The weighted loss, shape ().
        """
        assert self._heard is not None, "the UNet has not run"
        said, heard = self.projector(self._heard.float()), self.targets[rows].to(self._heard.device).float()
        return self.weight * (1 - cosine_similarity(said, heard, dim=1).mean())


@torch.no_grad()
def _look(extractor: VisionTransformer, pixels: Tensor, side: int, device: torch.device) -> Tensor:
    """Returns patch features, averaged to (N, D, side, side), fp16 on the CPU."""
    parts = []
    for part in pixels.split(64):
        tokens = extractor.forward_features(normalised(to_unit(part, device), IMAGENET))[
            :, extractor.num_prefix_tokens :
        ]
        cells = math.isqrt(tokens.shape[1])
        grid = tokens.transpose(1, 2).reshape(len(part), -1, cells, cells)
        parts.append(adaptive_avg_pool2d(grid.float(), side).half().cpu())
    return torch.cat(parts)
