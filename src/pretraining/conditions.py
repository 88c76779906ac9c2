"""What a diffusion model is told about the image: nothing, its class, or a text."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from src.core.errors import ConfigError
from src.core.files import write_json
from src.core.seeding import derive_seed
from src.models.tokenizers import build_clip_tokenizer
from src.pretraining.captions import Captions
from src.pretraining.images import ImageSet

# ways to put each image's caption in training; they are written and cut into pieces once: 58 ms for 512 of them, in
# which a GPU does nothing
WORDINGS = 4


class WarmUp(Protocol):
    """Trains a text encoder before it conditions anything."""

    def __call__(self, encoder: CLIPTextModel, tokenizer: CLIPTokenizer, captions: Captions, seed: int) -> float:
        """Trains the encoder in place.

        Args:
            encoder: Fresh.
            tokenizer: Its tokenizer; pads to `model_max_length`.
            captions: Of the training images.
            seed: Of every draw.

        Returns:
            The last loss.
        """
        ...


class Condition(Protocol):
    """A kind of condition.

    Attributes:
        networks: What trains along.
        count: Embeddings that the UNet needs for classes; None without classes.
        can_guide: Whether there is a condition that could be left out.
    """

    networks: dict[str, nn.Module]
    count: int | None
    can_guide: bool

    def describe(self, images: ImageSet, rows: Tensor) -> list[Any]:
        """Returns the full condition of some images, in fixed words."""
        ...

    def training_arguments(self, images: ImageSet, rows: Tensor, step: int) -> dict[str, Tensor]:
        """Returns what the UNet is called with in an update, some conditions left out."""
        ...

    def arguments(self, wanted: Sequence[Any]) -> dict[str, Tensor]:
        """Returns what the UNet is called with for given conditions."""
        ...

    def nothing(self, count: int) -> list[Any]:
        """Returns conditions that say nothing."""
        ...

    def showcase(self, classes: list[str], count: int) -> dict[str, list[Any]]:
        """Returns what to generate for people to look at: `count` conditions under each name."""
        ...

    def save(self, folder: Path, unet: nn.Module, vae: AutoencoderKL | None, scheduler: DDIMScheduler) -> None:
        """Writes the model."""
        ...


def _save_parts(folder: Path, unet: Any, vae: AutoencoderKL | None, scheduler: DDIMScheduler) -> None:
    unet.save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    if vae is not None:
        vae.save_pretrained(folder / "vae")


class NoCondition:
    """Nothing is said."""

    count: int | None = None
    can_guide = False

    def __init__(self) -> None:
        self.networks: dict[str, nn.Module] = {}

    def describe(self, images: ImageSet, rows: Tensor) -> list[Any]:  # noqa: ARG002
        """Returns None for each image."""
        return [None] * len(rows)

    def training_arguments(self, images: ImageSet, rows: Tensor, step: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Returns nothing."""
        return {}

    def arguments(self, wanted: Sequence[Any]) -> dict[str, Tensor]:  # noqa: ARG002
        """Returns nothing."""
        return {}

    def nothing(self, count: int) -> list[Any]:
        """Returns None `count` times."""
        return [None] * count

    def showcase(self, classes: list[str], count: int) -> dict[str, list[Any]]:  # noqa: ARG002
        """Returns one row."""
        return {"all": self.nothing(count)}

    def save(self, folder: Path, unet: nn.Module, vae: AutoencoderKL | None, scheduler: DDIMScheduler) -> None:
        """Writes unet, scheduler and vae."""
        _save_parts(folder, unet, vae, scheduler)


class ClassCondition:
    """The number of the class; one more stands for none.

    Args:
        classes: Names.
        dropout: Share that is left out in training.
        device: Where to.
    """

    def __init__(self, classes: list[str], dropout: float, device: torch.device) -> None:
        self.classes, self.dropout, self.device = classes, dropout, device
        self.can_guide = True
        self.count: int | None = len(classes) + 1
        self.networks: dict[str, nn.Module] = {}

    def describe(self, images: ImageSet, rows: Tensor) -> list[Any]:
        """Returns the class numbers."""
        return images.labels[rows].tolist()

    def training_arguments(self, images: ImageSet, rows: Tensor, step: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Returns class numbers; those left out by torch's global stream are the last number."""
        left_out = torch.rand(len(rows)) < self.dropout
        return {"class_labels": images.labels[rows].masked_fill(left_out, len(self.classes)).to(self.device)}

    def arguments(self, wanted: Sequence[Any]) -> dict[str, Tensor]:
        """Returns class numbers."""
        return {"class_labels": torch.tensor(list(wanted), device=self.device)}

    def nothing(self, count: int) -> list[Any]:
        """Returns the number that stands for none."""
        return [len(self.classes)] * count

    def showcase(self, classes: list[str], count: int) -> dict[str, list[Any]]:
        """Returns a row for each class."""
        return {name: [number] * count for number, name in enumerate(classes)}

    def save(self, folder: Path, unet: nn.Module, vae: AutoencoderKL | None, scheduler: DDIMScheduler) -> None:
        """Writes unet, scheduler, vae and classes.json."""
        _save_parts(folder, unet, vae, scheduler)
        write_json(folder / "classes.json", self.classes)


class TextCondition:
    """A caption, through a CLIP text encoder that is trained along.

    Args:
        text: Arguments of CLIPTextConfig; max_position_embeddings is the longest text, in pieces. The shorter, the
            sooner the UNet finds the words that matter among those that pad.
        warm_up: Of the text encoder alone, before the training; None goes without.
        captions: Of the training images.
        dropout: Share of captions that are left out in training.
        seed: Of the choice of words.
        device: Where to.
    """

    def __init__(
        self,
        text: dict[str, Any],
        warm_up: WarmUp | None,
        captions: Captions,
        dropout: float,
        seed: int,
        device: torch.device,
    ) -> None:
        self.length = int(text["max_position_embeddings"])
        with TemporaryDirectory() as folder:
            build_clip_tokenizer(Path(folder), captions.words, "<|endoftext|>", self.length)
            self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        config = CLIPTextConfig(
            vocab_size=len(self.tokenizer),
            bos_token_id=self.tokenizer.bos_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
            **text,
        )
        self.encoder = CLIPTextModel(config).to(device)
        if warm_up is not None:
            warm_up(self.encoder, self.tokenizer, captions, seed)
        self.can_guide = True
        self.count: int | None = None
        self.networks: dict[str, nn.Module] = {"text_encoder": self.encoder}
        self.captions, self.dropout, self.seed, self.device = captions, dropout, seed, device
        self._pieces: dict[tuple[int, int], Tensor] = {}

    def describe(self, images: ImageSet, rows: Tensor) -> list[Any]:
        """Returns a caption of each image, always the same words."""
        captions = captions_of(images)
        return [captions.text(row, derive_seed(self.seed, "described", row)) for row in rows.tolist()]

    def training_arguments(self, images: ImageSet, rows: Tensor, step: int) -> dict[str, Tensor]:
        """Returns encoded captions; the words change with the step, WORDINGS of them for each image."""
        left_out = torch.rand(len(rows)) < self.dropout
        keys = [
            (-1 if empty else row, step % WORDINGS) for empty, row in zip(left_out.tolist(), rows.tolist(), strict=True)
        ]
        captions, fresh = captions_of(images), sorted({key for key in keys if key not in self._pieces})
        texts = [
            "" if row < 0 else captions.text(row, derive_seed(self.seed, "caption", wording, row))
            for row, wording in fresh
        ]
        if texts:
            self._pieces |= dict(zip(fresh, self._tokens(texts), strict=True))
        return self._encoded(torch.stack([self._pieces[key] for key in keys]))

    def arguments(self, wanted: Sequence[Any]) -> dict[str, Tensor]:
        """Returns encoded captions, (B, L, D)."""
        return self._encoded(self._tokens(list(wanted)))

    def _tokens(self, texts: list[str]) -> Tensor:
        return self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids

    def _encoded(self, tokens: Tensor) -> dict[str, Tensor]:
        return {"encoder_hidden_states": self.encoder(tokens.to(self.device))[0]}

    def nothing(self, count: int) -> list[Any]:
        """Returns empty captions."""
        return [""] * count

    def showcase(self, classes: list[str], count: int) -> dict[str, list[Any]]:
        """Returns texts like those that the training images have."""
        return dict(self.captions.showcase(classes, count))

    def save(self, folder: Path, unet: nn.Module, vae: AutoencoderKL | None, scheduler: DDIMScheduler) -> None:
        """Writes a StableDiffusionPipeline, which has an autoencoder."""
        StableDiffusionPipeline(
            vae=vae,
            text_encoder=self.encoder,
            tokenizer=self.tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder, safe_serialization=True)


def captions_of(images: ImageSet) -> Captions:
    """Returns what is written about images.

    Args:
        images: A set.

    Returns:
        Its captions.

    Raises:
        ConfigError: It has none.
    """
    if images.captions is None:
        raise ConfigError(
            "task.condition=text: these images have no captions; where they have, train_data.captions=true reads them"
        )
    return images.captions
