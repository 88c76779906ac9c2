"""What the stages that generate images share: how, and whether the base model can."""

from pathlib import Path

from src.core.errors import ConfigError
from src.core.provenance import code_digest
from src.core.sets import CLASS_ONLY, DEV, SUBJECT_ONLY, TEST, UNRELATED
from src.core.settings import Settings
from src.core.single_file import is_single_file
from src.core.weights import find_model, model_patterns
from src.models.base import DTYPES
from src.models.families import check_resolution, read_family
from src.models.single_file import check_file
from src.sampling.generator import SamplingSettings
from src.sampling.samplers import check_fit
from src.training.determinism import numerics


def sampling_settings(params: Settings) -> SamplingSettings:
    """Reads how images are generated, and checks it.

    Args:
        params: A stage's parameters.

    Returns:
        The settings.

    Raises:
        ConfigError: A value cannot work.
    """
    values = params.validation_args
    if values.dtype not in DTYPES:
        raise ConfigError(f"validation_args.dtype={values.dtype}: expected one of {', '.join(DTYPES)}")
    settings = SamplingSettings(
        resolution=params.model.resolution,
        num_images_per_prompt=values.num_images_per_prompt,
        num_inference_steps=values.num_inference_steps,
        guidance_scale=values.guidance_scale,
        negative_prompt=values.negative_prompt,
        batch_size=values.batch_size,
        seed=values.seed,
        sampler=params.sampler.class_name,
        sampler_options=params.sampler.options,
        dtype=values.dtype,
    )
    settings.check("validation_args")
    return settings


def image_counts(params: Settings) -> dict[str, int]:
    """Returns how many images of a prompt are generated, by the prompt's set."""
    values = params.validation_args
    return {
        **dict.fromkeys((DEV, TEST), values.num_images_per_prompt),
        **dict.fromkeys((CLASS_ONLY, SUBJECT_ONLY), values.num_subject_only_images),
        UNRELATED: values.num_unrelated_images if values.unrelated_prompts else 0,
    }


def find_base(params: Settings) -> Path:
    """Finds the base model and checks that it has the wanted resolution.

    Args:
        params: A stage's parameters.

    Returns:
        Its folder.

    Raises:
        ConfigError: The resolution does not fit it, or a single file has a variant.
        MissingModelError: It is not on this machine.
        ModelMismatchError: Its files are not what they should be.
    """
    spec = params.model
    folder = find_model(spec.id, spec.revision, model_patterns(spec.variant), spec.config)
    if is_single_file(spec.id):
        if spec.variant is not None:
            raise ConfigError(f"model.variant={spec.variant}: {spec.id} is a single file; expected null")
        check_file(Path(spec.id), folder)
    check_resolution(folder, spec.resolution)
    return folder


def check_base(params: Settings, settings: SamplingSettings) -> None:
    """Checks against the files of the base model what would fail only when it generates.

    Args:
        params: A stage's parameters.
        settings: How images are generated.

    Raises:
        ConfigError: Resolution, guidance or sampler do not fit the base model.
        MissingModelError: The base model is not on this machine.
        ModelMismatchError: Its files are not what they should be.
    """
    model = find_base(params)
    for key, side in (("height", settings.height), ("width", settings.width)):
        if side is not None:
            check_resolution(model, side, key)
    read_family(model).check_guidance(model, settings.guidance_scale, settings.negative_prompt)
    check_fit(settings.sampler, settings.sampler_options, settings.num_inference_steps, model)


def generation_code(stage: str) -> str:
    """Names the code of a stage that generates images, and its arithmetic settings, for the cache of images.

    Args:
        stage: Its module.

    Returns:
        Text.
    """
    return f"{code_digest(stage)}:{numerics()}"
