"""What an autoencoder's pictures are held against, besides their pixels: features, and a metric model of patches."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.features.lpips import LpipsModel

# below it a gradient's norm is taken for none
TINY = 1e-12


def load_perceptual(folder: str, device: torch.device) -> nn.Module:
    """Loads LPIPS on the project's own AlexNet.

    Paper: The Unreasonable Effectiveness of Deep Features as a Perceptual Metric (Zhang et al., 2018),
    arXiv:1801.03924.

    Args:
        folder: With ``alexnet.pth``.
        device: Where to.

    Returns:
        Takes two batches (B, 3, S, S) in [-1, 1] and returns distances (B, 1, 1, 1), float32.

    Raises:
        MissingModelError: It is not there.
    """
    metric_model = LpipsModel(
        name="lpips", title="LPIPS", size_px=128, id=folder, revision=None, file="alexnet.pth", sha256=None, url=None
    )
    return metric_model.load(str(device)).model


def recoloured(images: Tensor, share: float) -> Tensor:
    """Gives some images other colours: red, green and blue change places, some are turned into their negatives.

    Args:
        images: (B, 3, S, S), any range that is symmetric about 0.
        share: Of the images that change; draws from torch's global stream.

    Returns:
        (B, 3, S, S).
    """
    count = len(images)
    orders = torch.rand(count, 3).argsort(1)
    orders[torch.rand(count) >= share] = torch.arange(3)
    signs = torch.where((torch.rand(count, 3) < 0.25) & (orders != torch.arange(3)), -1.0, 1.0)
    moved = images.gather(1, orders.to(images.device)[:, :, None, None].expand(images.shape))
    return (moved * signs.to(images.device)[:, :, None, None]).contiguous(memory_format=torch.channels_last)


class PatchDiscriminator(nn.Module):
    """Says of each patch of a picture whether it is generated or restored.

    Papers: Image-to-Image Translation with Conditional Adversarial Networks (Isola et al., 2016), arXiv:1611.07004, for
    patches; Spectral Normalization (Miyato et al., 2018), arXiv:1802.05957, in place of the norms.

    Args:
        width: Channels of the first level.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        spectral = nn.utils.parametrizations.spectral_norm
        sizes = [3, width, 2 * width, 4 * width]
        self.levels = nn.ModuleList(
            spectral(nn.Conv2d(before, after, 4, 2, 1)) for before, after in itertools.pairwise(sizes)
        )
        self.head = spectral(nn.Conv2d(sizes[-1], 1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Returns a number for each patch, (B, 1, S / 8, S / 8); more is more like a picture."""
        for level in self.levels:
            images = functional.leaky_relu(level(images), 0.2)
        said: Tensor = self.head(images)
        return said


def hinge(real: Tensor, restored: Tensor) -> Tensor:
    """Returns the discriminator's loss, shape (): the hinge of arXiv:1705.02894, equation 4."""
    return (functional.relu(1 - real) + functional.relu(1 + restored)).mean()


def joined(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Adds a second gradient to a first, scaled to a share of its size.

    As the adaptive weight of VQGAN (Esser et al., 2020, arXiv:2012.09841, equation 7), at the picture in place of the
    decoder's last layer, so that one pass back through the decoder serves both.

    Args:
        first: (B, 3, S, S).
        second: Alike.
        share: Norm of what is added, as a share of the first's.

    Returns:
        (B, 3, S, S).
    """
    return first + second * (share * first.norm() / second.norm().clamp(min=TINY))
