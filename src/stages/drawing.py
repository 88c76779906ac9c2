"""What the pipeline's prompt set and a person's own prompts are drawn by: the cache, and what is missing in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from src.core import layout
from src.core.device import choose_device
from src.core.files import work_root
from src.core.provenance import model_digest
from src.core.settings import Settings
from src.methods.foreign.bases import check_base_of
from src.models.base import BaseModel
from src.models.families import load_base_model
from src.sampling.cache import SampleCache
from src.sampling.generator import SamplingSettings
from src.sampling.variants import Planned, generate_missing, missing_jobs
from src.stages.sampling_setup import check_base, find_base, generation_code

# whoever draws: the code of one stage names what is kept
CODE = "src.stages.generate"


@dataclass(frozen=True)
class Drawn:
    """What was planned, in the cache.

    Attributes:
        cache: Holds every image.
        base: What names the base model's weights, see `model_digest`.
        device: Its kind.
    """

    cache: SampleCache
    base: str
    device: str


def load_model(params: Settings, settings: SamplingSettings) -> BaseModel:
    """Loads the base model that parameters name; errors as of `load_base_model`."""
    spec, device = params.model, choose_device(params.device)
    return load_base_model(spec.id, spec.revision, spec.variant, settings.dtype, device, spec.config)


def draw(
    params: Settings,
    settings: SamplingSettings,
    plan: Sequence[Planned],
    load: Callable[[Settings, SamplingSettings], BaseModel] = load_model,
) -> Drawn:
    """Generates what of a plan is not in the cache yet.

    Args:
        params: With base model and device.
        settings: How.
        plan: What.
        load: Loads the base model, where anything is missing.

    Returns:
        Where the images are.

    Raises:
        CaptionError: A prompt is longer than a text encoder takes.
        ConfigError: Settings do not fit the base model, or a checkpoint takes no such weight.
        ModelMismatchError: A checkpoint was made for another base.
    """
    spec, device = params.model, choose_device(params.device)
    base = model_digest(spec.id, spec.revision, spec.variant, spec.config)
    cache = SampleCache.open(work_root() / layout.SAMPLE_CACHE, base, device, settings, generation_code(CODE))
    if missing := missing_jobs(plan, cache):
        for variant in missing:
            variant.check_files()
        check_base(params, settings)
        for folder in (one.folder for variant in missing for one in variant.adapters):
            if folder is not None:
                check_base_of(folder, find_base(params))
        generate_missing(load(params, settings), settings, missing, cache)
    return Drawn(cache, base, device.type)
