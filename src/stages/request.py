"""What a person asks inference.py for: read, checked, drawn."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from src.core.errors import ConfigError, ModelMismatchError
from src.core.picture_record import PictureRecord
from src.core.provenance import model_digest
from src.core.settings import Settings
from src.metrics.names import BASE
from src.models.base import BaseModel
from src.sampling.generator import Job, SamplingSettings
from src.sampling.own_prompts import read_seeds, read_start, read_texts
from src.sampling.picture_text import base_hash, record_of
from src.sampling.pictures import Picture, finish
from src.sampling.prompts import single_prompt
from src.sampling.variants import Planned, Variant, chosen_checkpoint, list_checkpoints
from src.stages.drawing import draw, load_model
from src.stages.generate import check_subject
from src.stages.sampling_setup import sampling_settings
from src.training.determinism import set_deterministic

MAX_NAME_CHARS = 80
# of a hash, in a message
DIGITS = 12


@dataclass(frozen=True)
class Request:
    """What a person asks for, checked.

    Attributes:
        settings: How images are generated.
        plan: Which.
        repeated: What the picture says of itself that is repeated; None where none is.
    """

    settings: SamplingSettings
    plan: list[Planned]
    repeated: PictureRecord | None


def read_request(params: Settings, repeated: PictureRecord | None = None) -> Request:
    """Reads what is asked for, before any model is loaded.

    Args:
        params: Of the keys of inference.py.
        repeated: Of the picture that is repeated.

    Returns:
        The request.

    Raises:
        ConfigError: A value cannot be used, or something of the picture is not here.
        ModelMismatchError: There is no checkpoint.
    """
    check_subject(params)
    settings = sampling_settings(params)
    for side in ("width", "height"):
        if getattr(params, side) != params.model.resolution:
            settings = replace(settings, **{side: getattr(params, side)})
    if params.init_image is not None:
        start = read_start(Path(params.init_image), params.width, params.height, params.strength)
        settings = replace(settings, start=start)
    settings.check("validation_args")
    if repeated is not None:
        _check_start(settings, repeated)
        variant = _repeated_variant(params, repeated)
    else:
        variant = chosen_variant(params)
    variant.check_files()
    seeds, subject = read_seeds(params.seeds), (params.subject.token, params.subject.class_name)
    plan = []
    for text in read_texts(params.prompt, params.prompt_file):
        prompt = single_prompt(text, *subject)
        for seed in range(settings.num_images_per_prompt) if seeds is None else seeds:
            job = Job(prompt, prompt.with_token(*subject), seed, None if seeds is None else seed)
            plan.append(Planned(variant, job, prompt.plain(subject[1])))
    return Request(settings, plan, repeated)


def chosen_variant(params: Settings) -> Variant:
    """Returns what is drawn with.

    Args:
        params: Of the keys of inference.py.

    Returns:
        A checkpoint with its weight, perhaps with others on top; the base model if all weights are 0.

    Raises:
        ModelMismatchError: A folder holds no checkpoint.
    """
    values = params.inferencer
    weights = [values.weight, *(one.weight for one in values.adapters)]
    used = [
        replace(chosen_checkpoint(folder), weight=weight)
        for folder, weight in zip(_folders(params), weights, strict=True)
        if weight != 0
    ]
    return _stacked(used, values.fuse)


def draw_request(
    params: Settings, request: Request, load: Callable[[Settings, SamplingSettings], BaseModel] = load_model
) -> list[Picture]:
    """Draws what is asked for.

    Args:
        params: Of the keys of inference.py.
        request: Of `read_request`.
        load: Loads the base model, where anything is missing.

    Returns:
        The pictures, by prompt and seed.

    Raises:
        ConfigError: The base model is not that of the picture, or as of `draw`.
    """
    set_deterministic(True)
    if request.repeated is not None:
        _check_base(params, request.repeated)
    drawn = draw(params, request.settings, request.plan, load)
    base = params.model.name, base_hash(drawn.base)
    with_text = params.inferencer.png_text
    return [
        finish(one, record_of(one.job, request.settings, one.variant, base, drawn.device), drawn.cache, with_text)
        for one in request.plan
    ]


def _folders(params: Settings) -> list[Path]:
    return [Path(params.inferencer.ckpt_dir), *(Path(one.path).expanduser() for one in params.inferencer.adapters)]


def _stacked(used: list[Variant], fuse: bool | None) -> Variant:
    if not used:
        return Variant(BASE, None)
    name = "+".join(one.name for one in used)[:MAX_NAME_CHARS]
    return replace(used[0], name=name, others=tuple(used[1:]), fuse=fuse)


def _repeated_variant(params: Settings, repeated: PictureRecord) -> Variant:
    """Finds a picture's adapters, by their hashes, in the folders that the parameters name."""
    here = {one.file_digest: one for folder in _folders(params) for one in _checkpoints(folder)}
    for wanted in repeated.adapters:
        if wanted["sha256"] not in here:
            raise ConfigError(
                f"exp.from_image: made with the adapter {wanted['name']!r} (SHA-256 {wanted['sha256'][:DIGITS]}...), "
                f"which is not in {' or '.join(map(str, _folders(params)))}: name its folder by inferencer.ckpt_dir"
            )
    used = [replace(here[one["sha256"]], weight=one["weight"]) for one in repeated.adapters]
    return _stacked(used, repeated.fuse)


def _checkpoints(folder: Path) -> list[Variant]:
    try:
        return list_checkpoints(folder)
    except ModelMismatchError:  # a folder without any holds none that fits, which the message above says
        return []


def _check_start(settings: SamplingSettings, repeated: PictureRecord) -> None:
    here = settings.start.sha256 if settings.start else ""
    if repeated.start_sha256 and here != repeated.start_sha256:
        raise ConfigError(
            f"exp.from_image: began with a picture (SHA-256 of its pixels {repeated.start_sha256[:DIGITS]}...), which "
            f"{'init_image is not' if here else 'is not here: name it by init_image'}"
        )


def _check_base(params: Settings, repeated: PictureRecord) -> None:
    spec = params.model
    here = base_hash(model_digest(spec.id, spec.revision, spec.variant, spec.config))
    if here != repeated.model_sha256:
        raise ConfigError(
            f"exp.from_image: made with the base model {repeated.model!r} (SHA-256 "
            f"{repeated.model_sha256[:DIGITS]}...), model.id={spec.id} "
            f"is another ({here[:DIGITS]}...): name it by model and model.id"
        )
