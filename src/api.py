"""For notebooks: load a base model with an adapter, generate, score; in the project's root, where `configs/` is.

What can be set has the names of `python inference.py --help`; docs/inference.md runs an example.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from PIL import Image, ImageOps

from src.core import layout
from src.core.checkpoint_config import CKPT_DIR, recorded_overrides
from src.core.config import INFERENCE, OWN_PROMPTS, load_settings, quote_overrides, unread_keys
from src.core.device import choose_device
from src.core.errors import ConfigError, EmptyDatasetError, MetricError
from src.core.files import write_bytes
from src.core.quoting import quoted
from src.core.sets import TEST
from src.core.settings import Settings
from src.features.store import FeatureStore, image_file
from src.metrics.base import References, Sample, check_models, score_images
from src.metrics.names import GAP
from src.metrics.samples import read_references
from src.models.base import BaseModel
from src.sampling.cache import png_bytes
from src.sampling.generator import SamplingSettings
from src.sampling.own_prompts import read_photo
from src.sampling.pictures import Picture
from src.sampling.prompts import make_slug, single_prompt
from src.stages.drawing import load_model
from src.stages.evaluate import build_metrics
from src.stages.inference import load_own_prompts
from src.stages.request import draw_request, read_request
from src.training.determinism import set_environment

# where an image of `generate` keeps what the text encoder read
PROMPT = "prompt"
IN_INFERENCER = ("weight", "adapters", "fuse")


@dataclass(frozen=True)
class Loaded:
    """Models that stay loaded, for every adapter that shares them.

    Attributes:
        bases: Base models.
        stores: What metric models were loaded, and what they said of images.
    """

    bases: dict[tuple[Any, ...], BaseModel] = field(default_factory=dict)
    stores: dict[tuple[int, str], FeatureStore] = field(default_factory=dict)


@dataclass
class Adapted:
    """A base model with an adapter.

    Attributes:
        words: Overrides, as on the command line.
        drawing_words: Those of them that generating reads.
        loaded: The models.
    """

    words: tuple[str, ...]
    drawing_words: tuple[str, ...]
    loaded: Loaded = field(default_factory=Loaded, repr=False)

    def generate(self, prompts: str | Sequence[str], **settings: Any) -> list[Image.Image]:
        """Generates, as inference.py does; the base model stays loaded, and what was drawn before is not drawn again.

        Args:
            prompts: One text or several.
            **settings: ``seeds``, ``width``, ``height``, ``init_image``, ``strength``, ``sampler``; ``weight``,
                ``adapters`` and ``fuse`` of `inferencer`; and those of `validation_args`, such as
                ``num_inference_steps`` and ``guidance_scale``.

        Returns:
            RGB, by prompt and seed.

        Raises:
            ConfigError: There is no such setting, or a value cannot be used.
            ModelMismatchError: The adapter is not there, or is of another base model.
        """
        pictures = self.draw(prompts, **settings)
        for picture in pictures:
            picture.image.info = {PROMPT: picture.planned.job.text}
        return [picture.image for picture in pictures]

    def draw(self, prompts: str | Sequence[str], **settings: Any) -> list[Picture]:
        """Generates files that say how they were made; arguments and errors as of `generate`."""
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        named = {"prompt": texts, **settings}
        params = load_own_prompts(
            INFERENCE, [*self.drawing_words, *(_word(name, value) for name, value in named.items())]
        )
        return draw_request(params, read_request(params), self._load)

    def plain(self, prompt: str) -> str:
        """Returns a prompt as the base model is asked: without the rare token, the class noun in its place."""
        params = load_own_prompts(INFERENCE, [*self.drawing_words, _word("prompt", [prompt])])
        return single_prompt(prompt, params.subject.token, params.subject.class_name).plain(params.subject.class_name)

    def score(
        self, images: Sequence[Image.Image], photos: str | Path | None = None, prompt: str | None = None
    ) -> pd.DataFrame:
        """Scores images against photos of the subject, by those of `inference_metrics` that look at test prompts.

        Args:
            images: From `generate`, or any.
            photos: A folder with photos of the subject alone: the middle square of each is taken, so crops of the
                pipeline (data/crops) are taken whole. None: the photos that the pipeline held out, and copies of those
                that it trained on.
            prompt: What the images should show; None for what `generate` was asked for.

        Returns:
            A row per image, a column per number (docs/metrics.md); NaN where one image says nothing, as of diversity.

        Raises:
            ConfigError: A metric is unknown.
            EmptyDatasetError: There is no photo.
            MetricError: An image has no prompt, or cannot be scored; or the pipeline has not held out photos yet.
            MissingModelError: A metric model is not on this machine.
        """
        params = load_settings(quote_overrides([*recorded_overrides(self.words), *self.words]))
        metrics = [metric for metric in build_metrics(params) if TEST in metric.sets]
        check_models(metrics)
        store = self._store(params.evaluate.batch_size, choose_device(params.device).type)
        with TemporaryDirectory() as folder:
            samples = _samples(images, prompt, params, Path(folder))
            references = (
                read_references(layout.SPLIT, layout.CROPS)
                if photos is None
                else _references(Path(photos), params.model.resolution, Path(folder))
            )
            scores = [score for metric in metrics for score in score_images(metric, samples, references, store)]
        # with one set of photos there is nothing that would be held out from anything
        told = [score for score in scores if score.references != "train" and score.metric != GAP]
        rows: list[dict[str, float | None]] = [{} for _ in images]
        for score in told:
            rows[score.sample.seed][score.metric] = score.value
        return pd.DataFrame(rows, dtype=float)

    def _load(self, params: Settings, settings: SamplingSettings) -> BaseModel:
        spec = params.model
        key = spec.id, spec.revision, spec.variant, spec.config, settings.dtype, params.device
        if key not in self.loaded.bases:
            self.loaded.bases[key] = load_model(params, settings)
        return self.loaded.bases[key]

    def _store(self, batch_size: int, device: str) -> FeatureStore:
        return self.loaded.stores.setdefault((batch_size, device), FeatureStore(batch_size, device))


def load(adapter: str | Path, *words: str, beside: Adapted | None = None) -> Adapted:
    """Loads a base model with an adapter; the base itself is read when something is generated.

    Args:
        adapter: As of `inferencer.ckpt_dir`; its base model and subject are those that it was trained with.
        *words: Overrides, as on the command line: ``device=cpu``, ``model.id=/models/sd15``; also what `score` reads:
            ``inference_metrics=[dino]``.
        beside: Another one, whose loaded models are used for both.

    Returns:
        Both.

    Raises:
        ConfigError: There is no such key, or neither generating nor scoring reads it.
    """
    set_environment()
    every = (f"{CKPT_DIR}={quoted(str(adapter))}", *words)
    unread = set(unread_keys(INFERENCE, every))
    if neither := sorted(unread & set(unread_keys("evaluate", every))):
        raise ConfigError(f"{neither[0]}: neither generating nor scoring reads it, so it could not act")
    drawing = tuple(word for word in every if word.lstrip("+").partition("=")[0] not in unread)
    return Adapted(every, drawing, Loaded() if beside is None else beside.loaded)


def _word(name: str, value: Any) -> str:
    """Writes a setting as an override."""
    full = next((key for key in OWN_PROMPTS if key == name or key == f"validation_args.{name}"), None)
    if name in IN_INFERENCER:
        full = f"inferencer.{name}"
    if full is None or isinstance(value, Mapping):
        known = sorted({key.removeprefix("validation_args.") for key in OWN_PROMPTS} | set(IN_INFERENCER))
        raise ConfigError(f"{name}: no such setting, expected one of {', '.join(known)}")
    return f"{full}={_value(value)}"


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    return quoted(str(value)) if isinstance(value, str | Path) else repr(value)


def _samples(images: Sequence[Image.Image], prompt: str | None, params: Settings, folder: Path) -> list[Sample]:
    samples, subject = [], (params.subject.token, params.subject.class_name)
    for number, image in enumerate(images):
        text = prompt if prompt is not None else image.info.get(PROMPT)
        if not isinstance(text, str):
            raise MetricError(f"image {number}: what it should show is not known: expected prompt=TEXT")
        path = folder / f"images/{number}.png"
        write_bytes(path, png_bytes(image.convert("RGB")))
        plain = single_prompt(text, *subject).plain(subject[1])
        samples.append(Sample("images", make_slug(text), TEST, "own", number, plain, image_file(path)))
    if not samples:
        raise MetricError("there are no images to score")
    return samples


def _references(photos: Path, resolution: int, folder: Path) -> References:
    paths = sorted(path for path in photos.glob("*") if path.is_file() and path.suffix.lower() not in (".csv", ".txt"))
    if not paths:
        raise EmptyDatasetError(f"{photos}: expected a folder with photos")
    files = []
    for number, path in enumerate(paths):
        square = ImageOps.fit(read_photo(path, str(photos)), (resolution, resolution), Image.Resampling.LANCZOS)
        write_bytes(folder / f"photos/{number}.png", png_bytes(square))
        files.append(image_file(folder / f"photos/{number}.png"))
    return References(tuple(files), tuple(files), tuple(str(number) for number in range(len(files))))
