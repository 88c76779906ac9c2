"""DINO as a metric model, through timm, from a local file."""

from dataclasses import dataclass
from typing import Any

import timm
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from src.core.errors import ConfigError, MissingModelError
from src.core.places import place_name
from src.features.preprocessing import IMAGENET, Preparation
from src.features.weights import WeightFile, check_architecture, freeze, load_strictly, read_state

# added to the new side by the authors' code, so that rounding never makes it a cell too short
HUB_OFFSET = 0.1


@dataclass(frozen=True)
class DinoModel:
    """Names a vision transformer of timm whose class token describes an image.

    Papers: DINO (Caron et al., 2021), arXiv:2104.14294; DINOv2 (Oquab et al., 2023), arXiv:2304.07193. Resize and
    crop are explicit: timm's own transform for DINO's weights resizes to 248 pixels, DINO's to 256; for DINOv2's it
    resizes to 518, where everybody compares at 224.

    Attributes:
        name: What keys of metrics call the model, for example ``vits16``; no two models share one.
        title: What texts call it.
        architecture: A name that timm knows, or ``local-dir:`` and a folder with config.json.
        resize_px: The shorter side before the crop.
        crop_px: The model's input side.
        any_size: Whether the model was made for any input side (DINOv2), so that its position embeddings may be
            resampled to `crop_px`, as its authors' code does.
        id: A folder on this machine or a hub id.
        revision: The pinned commit on the hub; None for a folder.
        file: The weights' name inside the model.
        sha256: Of the weights; None if it is not known.
        url: Where the weights can be downloaded by hand, or None.
    """

    name: str
    title: str
    architecture: str
    resize_px: int
    crop_px: int
    any_size: bool
    id: str
    revision: str | None
    file: str
    sha256: str | None
    url: str | None

    @property
    def weights(self) -> WeightFile:
        """The weight file."""
        return WeightFile(self.id, self.revision, self.file, self.sha256, self.url)

    def check(self) -> None:
        """Checks that the weights are there.

        Raises:
            MissingModelError: They are not on this machine.
            ModelMismatchError: They have another hash.
            ConfigError: The architecture would be downloaded.
        """
        check_architecture(self.architecture)
        self.weights.find()

    def describe(self) -> dict[str, Any]:
        """Returns the model's identity and preprocessing."""
        return {
            "architecture": place_name(self.architecture),
            "feature": "class token after the final layer norm",
            "dtype": "float32",
            "preprocessing": self._preparation().description,
            **({"positions": "resampled as torch.hub's dinov2 does"} if self.any_size else {}),
            **self.weights.describe(),
        }

    def load(self, device: str) -> "DinoExtractor":
        """Builds the model and loads its weights.

        Args:
            device: Where to.

        Returns:
            The model.

        Raises:
            MissingModelError: The architecture's folder is not on this machine.
            ModelMismatchError: The weights do not fit the architecture.
            ConfigError: timm does not know the architecture as a vision transformer, or it reads other sizes.
        """
        self.check()
        path = self.weights.find()
        try:
            model = timm.create_model(self.architecture, pretrained=False, num_classes=0)
        except FileNotFoundError as error:
            raise MissingModelError(f"architecture={self.architecture!r}: {error}") from error
        except RuntimeError as error:
            raise ConfigError(f"architecture={self.architecture!r}: {error}") from error
        if not isinstance(model, VisionTransformer) or not model.has_class_token:
            raise ConfigError(f"architecture={self.architecture!r}: expected a vision transformer with a class token")
        side = (self.crop_px, self.crop_px)
        if not self.any_size and model.patch_embed.img_size != side:
            raise ConfigError(f"crop_px={self.crop_px}, but {self.architecture} reads {model.patch_embed.img_size}")
        load_strictly(model, read_state(path), path)
        if model.patch_embed.img_size != side:
            fit_positions(model, side)
        frozen = freeze(model, device)
        assert isinstance(frozen, VisionTransformer)
        return DinoExtractor(frozen, self._preparation())

    def _preparation(self) -> Preparation:
        return Preparation(self.resize_px, self.crop_px, IMAGENET)


@torch.no_grad()
def fit_positions(model: VisionTransformer, side: tuple[int, int]) -> None:
    """Makes a model read another input side; its position embeddings are resampled as DINOv2's authors do.

    Reference code: facebookresearch/dinov2, `interpolate_pos_encoding` with the hub's arguments for models without
    registers: bicubic, not antialiased, with the scale (new side + 0.1) / old side. timm antialiases, and its scale is
    exact; features then differ by up to 4e-3.

    Args:
        model: Loaded; is changed.
        side: Height and width of the input, pixels.
    """
    rows, columns = model.patch_embed.grid_size
    positions = model.pos_embed.clone()
    prefix = positions.shape[1] - rows * columns
    model.set_input_size(img_size=side)
    new_rows, new_columns = model.patch_embed.grid_size
    resampled = nn.functional.interpolate(
        positions[:, prefix:].reshape(1, rows, columns, -1).permute(0, 3, 1, 2),
        scale_factor=((new_rows + HUB_OFFSET) / rows, (new_columns + HUB_OFFSET) / columns),
        mode="bicubic",
        antialias=False,
    )
    model.pos_embed.copy_(torch.cat([positions[:, :prefix], resampled.flatten(2).transpose(1, 2)], dim=1))


class DinoExtractor:
    """A loaded DINO.

    Args:
        model: In evaluation mode.
        prepare: Makes its input.
    """

    def __init__(self, model: VisionTransformer, prepare: Preparation) -> None:
        self.model = model
        self._prepare = prepare

    def prepare(self, image: Image.Image) -> Tensor:
        """Returns the model's input for one sRGB image, shape (3, H, W)."""
        return self._prepare(image)

    def embed_images(self, batch: Tensor) -> Tensor:
        """Returns class tokens after the final norm, shape (B, D), for inputs of shape (B, 3, H, W)."""
        tokens: Tensor = self.model.forward_features(batch)
        return tokens[:, 0]
