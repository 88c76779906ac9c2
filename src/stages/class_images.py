"""Generates class images for prior preservation. Reads the base model, writes data/class_images (none when it is off).

Paper: DreamBooth (Ruiz et al., 2022), arXiv:2208.12242, section 3.3.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from src.core import layout
from src.core.app import Stage
from src.core.device import choose_device
from src.core.errors import ConfigError
from src.core.files import replaced_folder, work_root, write_bytes, write_text
from src.core.processes import ALONE, Processes, is_first, joined
from src.core.progress import follow
from src.core.provenance import model_digest
from src.core.sets import DEV
from src.core.settings import Settings
from src.sampling.prompts import Prompt
from src.training.determinism import set_deterministic, set_environment

if TYPE_CHECKING:
    from src.sampling.cache import SampleCache
    from src.sampling.generator import Job

NOTE = "note.txt"


def generate_class_images(params: Settings, out: Path, processes: Processes = ALONE) -> None:
    """Generates `prior.num_images` images of the class with the base model, PNG, each from a generator of its own.

    Args:
        params: The stage's parameters.
        out: The folder to replace.
        processes: Which share them; the first writes the folder.

    Raises:
        ConfigError: The number of images is not positive.
    """
    if params.prior.num_images < 1:
        raise ConfigError(f"prior.num_images={params.prior.num_images}: expected 1 or more")
    set_deterministic(True)
    from src.models.families import load_base_model
    from src.sampling.cache import SampleCache, put_all
    from src.sampling.generator import Job, sample
    from src.stages.sampling_setup import check_base, generation_code, sampling_settings

    settings = dataclasses.replace(
        sampling_settings(params),
        num_inference_steps=params.prior.num_inference_steps,
        guidance_scale=params.prior.guidance_scale,
        seed=params.prior.seed,
    )
    settings.check("prior")
    device, spec = choose_device(params.device), params.model
    weights = model_digest(spec.id, spec.revision, spec.variant, spec.config)
    code = generation_code("src.stages.class_images")
    cache = SampleCache.open(work_root() / layout.SAMPLE_CACHE, weights, device, settings, code)
    prompt = Prompt("class-image", DEV, "class", params.prior.prompt)
    jobs = [Job(prompt, params.prior.prompt, index) for index in range(params.prior.num_images)]
    missing = [job for job in processes.share(jobs) if cache.get("", job) is None]
    if missing:
        check_base(params, settings)
        model = load_base_model(spec.id, spec.revision, spec.variant, settings.dtype, device, spec.config)
        model.check_captions([params.prior.prompt, settings.negative_prompt])
        put_all(cache, "", follow(sample(model, settings, missing), len(missing), "class_images", "images"))
    processes.wait()
    if processes.rank == 0:
        write_class_images(out, jobs, cache)


def write_class_images(out: Path, jobs: Sequence["Job"], cache: "SampleCache") -> None:
    """Copies images out of the cache.

    Args:
        out: The folder to replace.
        jobs: All of them have been generated.
        cache: Where images are.
    """
    with replaced_folder(out) as folder:
        for job in jobs:
            generated = cache.get("", job)
            assert generated is not None, "generated before"
            write_bytes(folder / f"{job.seed:04d}.png", generated)
        write_text(folder / NOTE, f"{len(jobs)} images of {jobs[0].text!r}\n")


def wants_class_images(params: Settings) -> bool:
    """Says whether prior preservation is on and compares with images.

    Args:
        params: The stage's parameters.

    Returns:
        False where it is off, or keeps the base model's own predictions.

    Raises:
        ConfigError: There is no such form, or the weight is below 0.
    """
    prior = params.prior
    if prior.form not in ("images", "prediction"):
        raise ConfigError(f"prior.form={prior.form}: expected images or prediction")
    if prior.weight < 0:
        raise ConfigError(f"prior.weight={prior.weight}: expected 0 or more")
    return prior.weight > 0 and prior.form == "images"


def class_images_stage(params: Settings) -> None:
    """Generates class images, or leaves an empty folder when prior preservation is off.

    Args:
        params: The stage's parameters.

    Raises:
        ConfigError: The weight is below 0, or there is no such form.
    """
    if wants_class_images(params):
        with joined(choose_device(params.device).type) as processes:
            generate_class_images(params, layout.CLASS_IMAGES, processes)
    elif is_first(os.environ):
        with replaced_folder(layout.CLASS_IMAGES) as folder:
            write_text(folder / NOTE, "prior.weight is 0 or prior.form is prediction: no class images\n")


def main() -> None:
    """Runs the stage."""
    set_environment()
    Stage("class_images", class_images_stage, writes=layout.CLASS_IMAGES, several=True).main()


if __name__ == "__main__":
    main()
