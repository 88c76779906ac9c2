"""LPIPS as a metric model, through torchmetrics, with AlexNet from a local file."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from src.core.errors import MetricError, ModelMismatchError
from src.features.preprocessing import MINUS_ONE_TO_ONE, Preparation
from src.features.store import ImageFile, open_rgb
from src.features.weights import WeightFile, freeze, read_state

if TYPE_CHECKING:
    from torchmetrics.functional.image.lpips import _LPIPS

# stabilises the division by a layer's norm, as in torchmetrics
EPSILON = 1e-8


@dataclass(frozen=True)
class LpipsModel:
    """Names LPIPS v0.1 on AlexNet (Zhang et al., 2018, arXiv:1801.03924); its linear heads come with torchmetrics.

    Attributes:
        name: What keys of metrics call the model, for example ``alexnet``; no two models share one.
        title: What texts call it.
        size_px: Images are scaled to this side.
        id: A folder on this machine or a hub id.
        revision: The pinned commit on the hub; None for a folder.
        file: The name of torchvision's AlexNet weights inside the model.
        sha256: Of the weights; None if it is not known.
        url: Where the weights can be downloaded by hand, or None.
    """

    name: str
    title: str
    size_px: int
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
        """
        self.weights.find()

    def describe(self) -> dict[str, Any]:
        """Returns the model's identity and preprocessing."""
        return {
            "architecture": "LPIPS v0.1, alex",
            "dtype": "float32",
            "preprocessing": self._preparation().description,
            **self.weights.describe(),
        }

    def load(self, device: str) -> "LpipsExtractor":
        """Builds the model and loads its weights; torchvision's download is never called.

        Args:
            device: Where to.

        Returns:
            The model.

        Raises:
            ModelMismatchError: The file does not hold AlexNet's convolutions.
        """
        # only here, as in `Preparation`
        from torchmetrics.functional.image.lpips import _LPIPS

        path = self.weights.find()
        model = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
        state = read_state(path)
        names = [name for name, _ in model.net.named_parameters()]  # "slice2.3.weight" is AlexNet's "features.3.weight"
        try:
            model.net.load_state_dict({name: state[_alexnet_name(name)] for name in names}, strict=True)
        except (KeyError, RuntimeError) as error:
            raise ModelMismatchError(f"{path}: expected torchvision's AlexNet: {error}") from error
        frozen = freeze(model, device)
        assert isinstance(frozen, _LPIPS)
        return LpipsExtractor(frozen, self._preparation(), device)

    def _preparation(self) -> Preparation:
        return Preparation(self.size_px, self.size_px, MINUS_ONE_TO_ONE)


def _alexnet_name(name: str) -> str:
    return "features." + name.partition(".")[2]


class LpipsExtractor:
    """A loaded LPIPS; an image goes through AlexNet once, however many it is compared with.

    Args:
        model: In evaluation mode.
        prepare: Makes its input.
        device: Where the model is.
    """

    def __init__(self, model: "_LPIPS", prepare: Preparation, device: str) -> None:
        self.model = model
        self._prepare = prepare
        self._device = device

    def prepare(self, image: Image.Image) -> Tensor:
        """Returns the model's input for one sRGB image, shape (3, H, W), in [-1, 1]."""
        return self._prepare(image)

    def embed(self, image: Tensor) -> list[Tensor]:
        """Returns AlexNet's five activation maps of one image.

        Args:
            image: Shape (3, H, W), float, in [-1, 1].

        Returns:
            Tensors of shape (1, C, h, w), each cell's channels scaled to unit length.

        Raises:
            MetricError: The image has another type or range.
        """
        if not image.is_floating_point() or image.abs().max() > 1:
            raise MetricError(f"LPIPS reads float images in [-1, 1], found {image.dtype} up to {image.abs().max()}")
        maps = self.model.net(self.model.scaling_layer(image[None].to(self._device)))
        return [m / torch.sqrt(EPSILON + (m**2).sum(dim=1, keepdim=True)) for m in maps]

    def distance(self, first: list[Tensor], second: list[Tensor]) -> float:
        """Returns two images' distance: squared differences, weighted by the heads, averaged over cells, summed."""
        heads = zip(self.model.lins, first, second, strict=True)
        return sum(float(head((a - b) ** 2).double().mean()) for head, a, b in heads)


def mean_distances(extractor: LpipsExtractor, images: Sequence[ImageFile]) -> list[float | None]:
    """Returns each image's mean distance to the others.

    Args:
        extractor: Measures distances.
        images: The images of one prompt.

    Returns:
        One number per image; None for a single image.
    """
    if len(images) == 1:
        return [None]
    maps = [extractor.embed(extractor.prepare(open_rgb(image.path))) for image in images]
    sums = [0.0] * len(images)
    for i, j in combinations(range(len(images)), 2):
        distance = extractor.distance(maps[i], maps[j])
        sums[i] += distance
        sums[j] += distance
    return [total / (len(images) - 1) for total in sums]
