"""CLIP as a metric model, through open_clip, from a local file."""

from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from PIL import Image
from torch import Tensor

from src.core.errors import ConfigError, MetricError, MissingModelError, ModelMismatchError
from src.core.places import place_name
from src.features.preprocessing import OPENAI, Preparation
from src.features.weights import WeightFile, check_architecture, freeze, load_strictly, read_state


@dataclass(frozen=True)
class ClipModel:
    """Names a CLIP model of open_clip (Radford et al., 2021, arXiv:2103.00020).

    Attributes:
        name: What keys of metrics call the model, for example ``vitb32``; no two models share one.
        title: What texts call it.
        architecture: A name that open_clip knows, or ``local-dir:`` and a folder with open_clip_config.json.
        quick_gelu: Which activation the weights were trained with; checked against the architecture, because the
            weights load without complaint under the wrong one.
        id: A folder on this machine or a hub id.
        revision: The pinned commit on the hub; None for a folder.
        file: The weights' name inside the model.
        sha256: Of the weights; None if it is not known.
        url: Where the weights can be downloaded by hand, or None.
    """

    name: str
    title: str
    architecture: str
    quick_gelu: bool
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
        """Checks that the weights are there and that the architecture is the one they need.

        Raises:
            MissingModelError: The weights or the architecture's folder are not on this machine.
            ModelMismatchError: The weights have another hash, or the architecture another activation.
            ConfigError: open_clip does not know the architecture, or it is not a plain CLIP.
        """
        self.weights.find()
        self._model_config()

    def describe(self) -> dict[str, Any]:
        """Returns the model's identity and preprocessing."""
        return {
            "architecture": place_name(self.architecture),
            "quick_gelu": self.quick_gelu,
            "dtype": "float32",
            "preprocessing": self._preparation().description,
            **self.weights.describe(),
        }

    def load(self, device: str) -> "ClipExtractor":
        """Builds the model and loads its weights; open_clip's downloading functions are never called.

        Args:
            device: Where to.

        Returns:
            The model.

        Raises:
            ModelMismatchError: The weights do not fit the architecture.
        """
        path = self.weights.find()
        model = open_clip.CLIP(**self._model_config())
        # not open_clip.load_checkpoint: it stretches position embeddings of another size without a word
        load_strictly(model, read_state(path), path)
        frozen = freeze(model, device)
        assert isinstance(frozen, open_clip.CLIP)
        return ClipExtractor(frozen, self._preparation(), device)

    def _preparation(self) -> Preparation:
        side = self._model_config()["vision_cfg"]["image_size"]
        return Preparation(side, side, OPENAI)

    def _model_config(self) -> dict[str, Any]:
        check_architecture(self.architecture)
        try:
            config = open_clip.get_model_config(self.architecture)
        except FileNotFoundError as error:
            raise MissingModelError(f"architecture={self.architecture!r}: {error}") from error
        if config is None:
            known = ", ".join(name for name in open_clip.list_models() if name.startswith("ViT"))
            raise ConfigError(f"architecture={self.architecture!r} is unknown; open_clip knows {known}")
        if "custom_text" in config or "hf_model_name" in config["text_cfg"]:
            raise ConfigError(f"architecture={self.architecture!r}: expected a CLIP with CLIP's own text extractor")
        found = config.get("quick_gelu", False)  # open_clip's own meaning of an absent key
        if found != self.quick_gelu:
            raise ModelMismatchError(
                f"architecture={self.architecture!r} has quick_gelu={found}, but its weights need {self.quick_gelu}"
            )
        return dict(config)


class ClipExtractor:
    """A loaded CLIP.

    Args:
        model: In evaluation mode.
        prepare: Makes the image extractor's input.
        device: Where the model is.
    """

    def __init__(self, model: open_clip.CLIP, prepare: Preparation, device: str) -> None:
        self.model = model
        self._prepare = prepare
        self._device = device
        self._tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)

    def prepare(self, image: Image.Image) -> Tensor:
        """Returns the model's input for one sRGB image, shape (3, H, W)."""
        return self._prepare(image)

    def embed_images(self, batch: Tensor) -> Tensor:
        """Returns projected features of shape (B, D) for inputs of shape (B, 3, H, W)."""
        features: Tensor = self.model.encode_image(batch)
        return features

    def embed_text(self, text: str) -> Tensor:
        """Embeds one text.

        Args:
            text: Without the rare token, which would be noise in CLIP's vocabulary.

        Returns:
            Projected features of shape (D,).

        Raises:
            MetricError: The text has more tokens than the model reads; it is never cut silently.
        """
        length = len(self._tokenizer.encode(text)) + 2  # and the start and end tokens
        if length > self.model.context_length:
            raise MetricError(f"{text!r} has {length} tokens; {self.model.context_length} are CLIP's limit")
        tokens: torch.Tensor = self._tokenizer([text])
        features: Tensor = self.model.encode_text(tokens.to(self._device))[0]
        return features
