"""Draws a person's own prompts, beside what is there; the pipeline's prompt set is drawn by the stage `generate`.

No stage of dvc.yaml: `inference.py` comes here when prompts, or a picture to repeat, are on its command line.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from src.core import layout
from src.core.app import Stage
from src.core.checkpoint_config import load_checkpoint_params, recorded_overrides
from src.core.config import INFERENCE
from src.core.digest import options
from src.core.errors import ConfigError
from src.core.picture_record import PictureRecord, read_picture
from src.core.quoting import literal_path
from src.core.running import held_output
from src.core.settings import Settings
from src.sampling.pictures import Picture, write_pictures, write_sheet
from src.stages.request import draw_request, read_request
from src.training.determinism import set_environment

FROM_IMAGE = "exp.from_image"


def inference_stage(params: Settings) -> None:
    """Draws prompts of a person's own and prints where the pictures are.

    Args:
        params: Of the keys of inference.py.

    Raises:
        ConfigError: A value cannot be used, or what a picture was made with is not here.
    """
    repeated = None if params.exp.from_image is None else read_picture(Path(params.exp.from_image))
    request = read_request(params, repeated)
    out = Path(params.exp.run_dir) / layout.PICTURES
    with held_output(out):
        pictures = draw_request(params, request)
        write_pictures(out, pictures)
        for picture in pictures:
            print(out / picture.path)
        if params.inferencer.contact_sheet:
            print(write_sheet(out, pictures))
    if repeated is not None:
        _tell_difference(Path(params.exp.from_image or ""), repeated, pictures)
    print(f"{len(pictures)} images in {out}", flush=True)


def load_own_prompts(stage: str, words: Sequence[str]) -> Settings:
    """Loads the parameters of `inference_stage`; what a picture says of itself stands in for what is not given.

    Args:
        stage: ``inference``.
        words: Hydra overrides.

    Returns:
        Plain typed values; reading an undeclared key raises.

    Raises:
        ConfigError: As of `load_checkpoint_params`; or a setting is given that could not act beside another.
    """
    given = {word.lstrip("+").partition("=")[0] for word in words if "=" in word}
    paths = [literal_path(word) for word in words if word.startswith(f"{FROM_IMAGE}=")]
    repeated = read_picture(Path(paths[-1])) if paths and paths[-1] != "null" else None
    if repeated is not None and "model" not in given and not recorded_overrides(words):
        if repeated.model not in options("model"):
            raise ConfigError(f"{FROM_IMAGE}: made with model={repeated.model!r}; expected one of configs/model")
        words = [f"model={repeated.model}", *words]
    params = load_checkpoint_params(stage, words)
    if repeated is not None:
        take_over(params, repeated, given)
    check_acting(params, given)
    return params


def take_over(params: Settings, repeated: PictureRecord, given: set[str]) -> None:
    """Sets what a picture says of itself, except what is given.

    Args:
        params: Of the keys of inference.py; changed in place.
        repeated: What the picture says.
        given: Keys of the command line.
    """
    if not given & {"prompt", "prompt_file"}:
        params.prompt = repeated.prompt
    if not any(key.split(".")[0] == "sampler" for key in given):
        params.sampler.class_name, params.sampler.options = repeated.sampler, dict(repeated.sampler_options)
    own: dict[str, object] = {"seeds": repeated.seed, "width": repeated.width, "height": repeated.height}
    own |= {"strength": repeated.strength} if repeated.start_sha256 else {}
    values = {
        "num_inference_steps": repeated.steps,
        "guidance_scale": repeated.guidance_scale,
        "negative_prompt": repeated.negative_prompt,
        "batch_size": repeated.batch_size,
        "dtype": repeated.dtype,
    }
    for section, prefix, found in ((params, "", own), (params.validation_args, "validation_args.", values)):
        for name, value in found.items():
            if f"{prefix}{name}" not in given:
                setattr(section, name, value)


def check_acting(params: Settings, given: set[str]) -> None:
    """Refuses settings that are given and could not act, because of another one.

    Args:
        params: Of the keys of inference.py.
        given: Keys of the command line.

    Raises:
        ConfigError: There is one; the message says why.
    """
    values, repeats = params.validation_args, params.exp.from_image is not None
    seeded = params.seeds is not None
    off = not any([params.inferencer.weight, *(one.weight for one in params.inferencer.adapters)])
    adapters = "exp.from_image says which adapters, and how much of each"
    idle = {
        "strength": (params.init_image is None, "there is no init_image"),
        "validation_args.num_images_per_prompt": (seeded, "seeds say which images there are"),
        "validation_args.seed": (seeded, "seeds say what the noise is"),
        "validation_args.negative_prompt": (
            bool(values.negative_prompt) and values.guidance_scale <= 1,
            f"a guidance_scale of {values.guidance_scale:g} leads away from nothing",
        ),
        "inferencer.weight": (repeats, adapters),
        "inferencer.fuse": (repeats or off, adapters if repeats else "every adapter has weight 0"),
    }
    for key, (is_idle, why) in idle.items():
        if key in given and is_idle:
            raise ConfigError(f"{key}: could not act: {why}")


def _tell_difference(path: Path, repeated: PictureRecord, pictures: Sequence[Picture]) -> None:
    """Says whether a picture was repeated to the byte, else in what the new one differs."""
    if any(picture.data == path.read_bytes() for picture in pictures):
        print(f"{path}: repeated to the byte")
        return
    before = asdict(repeated)
    differing = [name for name, value in asdict(pictures[0].record).items() if before[name] != value]
    what = f"another {', '.join(differing)}" if differing else "other bytes: by other code, or without its text"
    print(f"{path}: drawn again, with {what}")


def main() -> None:
    """Runs the command."""
    set_environment()
    Stage(INFERENCE, inference_stage, load_own_prompts).main()


if __name__ == "__main__":
    main()
