"""The one way images are prepared: PIL bicubic with antialiasing to the shorter side, centre crop, normalisation."""

import torch
from PIL import Image
from torch import Tensor

# of the weights' own training: timm.data.IMAGENET_DEFAULT_*, open_clip.OPENAI_DATASET_*
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
MINUS_ONE_TO_ONE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def normalised(images: Tensor, normalisation: tuple[tuple[float, float, float], tuple[float, float, float]]) -> Tensor:
    """Turns images in [-1, 1] into what a model of this normalisation takes; (B, 3, S, S), float32."""
    mean, std = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in normalisation)
    return (images / 2 + 0.5 - mean) / std


class Preparation:
    """Prepares images for one model.

    A PIL image is resized by PIL, which always antialiases; a tensor would need to be told to.

    Args:
        resize_px: Of the shorter side.
        crop_px: Side of the central square, at most `resize_px`.
        normalisation: Mean and standard deviation of each channel in [0, 1].
    """

    def __init__(
        self,
        resize_px: int,
        crop_px: int,
        normalisation: tuple[tuple[float, float, float], tuple[float, float, float]],
    ) -> None:
        # only here: it takes two seconds, and every command that reads scores imports this module
        from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

        mean, std = normalisation
        self.description = (
            f"RGB; shorter side to {resize_px} px, PIL bicubic, antialiased; centre crop {crop_px}; "
            f"[0, 1]; mean {list(mean)}; std {list(std)}"
        )
        resize = Resize(resize_px, InterpolationMode.BICUBIC)
        self._transform = Compose([resize, CenterCrop(crop_px), ToTensor(), Normalize(mean, std)])

    def __call__(self, image: Image.Image) -> Tensor:
        """Returns a model's input, shape (3, `crop_px`, `crop_px`), float32, for an sRGB uint8 image."""
        prepared: Tensor = self._transform(image)
        return prepared
