"""What a whole run costs, before it runs: updates and images, operations, minutes on this machine, disk.

`python -m src.commands.plan [KEY=VALUE ...]` loads the base model, trains a few updates on noise in the place of
photos, generates a batch of images with few sampler steps, keeps nothing of it, and counts up: an array of jobs is
sized on one of its cards. `--subjects` counts each folder of subjects/. Stages that DVC finds done cost nothing
(`dvc status` lists the others).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from src.commands.method_cost import measure
from src.commands.subject_folders import find_subjects, overrides_of
from src.commands.usage import command_line
from src.core import layout
from src.core.config import load_settings, quote_overrides
from src.core.config_errors import one_line
from src.core.sets import DEV
from src.core.settings import Settings
from src.metrics.names import BASE
from src.training.lengths import Length

if TYPE_CHECKING:
    from PIL import Image

    from src.commands.method_cost import Photos
    from src.models.base import BaseModel
    from src.sampling.generator import SamplingSettings

# updates that are timed; sampler steps of the two batches whose difference tells what a step costs
UPDATES, FEW, MORE = 5, 2, 4
MEGABYTE = 2**20
LEFT_OUT = (
    "Left out: loading, photos and captions, scores and report, which take minutes of a processor; the images that "
    "trackers get; what an adapter that cannot be merged slows down."
)


@dataclass(frozen=True)
class Work:
    """What a run makes.

    Attributes:
        updates: Of the training.
        checkpoints: That are kept.
        class_images: For prior preservation.
        choosing: Images of the dev prompts, by base and every checkpoint.
        testing: The other images, by base and those that are tested.
    """

    updates: int
    checkpoints: int
    class_images: int
    choosing: int
    testing: int


@dataclass(frozen=True)
class UnitCost:
    """What one update, or one image, costs: TFLOP, seconds, bytes on the disk of what is kept of it."""

    tflop: float
    seconds: float
    size: float


def count_work(params: Settings) -> Work:
    """Counts what a run makes.

    Args:
        params: All settings.

    Returns:
        The counts.

    Raises:
        ConfigError: The prompts cannot be used.
    """
    from src.sampling.variants import Variant
    from src.stages.class_images import wants_class_images
    from src.stages.generate import plan_samples, read_prompts

    length = Length(params.train.steps, params.train.checkpoint_every, params.train.val_every, lambda *_: 1.0)
    names = [layout.checkpoint_name(step) for step in length.checkpoints(params.train.steps)]
    variants = [Variant(BASE, None), *(Variant(name, layout.ADAPTER / name) for name in names)]
    # which one is chosen changes no count
    tested = None if params.inferencer.test_checkpoints == "all" else {BASE, *names[-1:]}
    images = plan_samples(params, variants, read_prompts(params), tested)
    dev = sum(one.job.prompt.set == DEV for one in images)
    class_images = params.prior.num_images if wants_class_images(params) else 0
    return Work(params.train.steps, len(names), class_images, dev, len(images) - dev)


def noise_photos(params: Settings, folder: Path) -> "Photos":
    """Writes a batch of noise in the place of photos.

    Args:
        params: With base model, batch size and prior preservation.
        folder: Gets the files.

    Returns:
        As training takes them.
    """
    import numpy as np
    from PIL import Image

    from src.data.dataset import Dataset, Item
    from src.stages.class_images import wants_class_images

    side = params.model.resolution
    pixels = np.random.default_rng(0).integers(0, 256, (params.train.batch_size, side, side, 3), dtype=np.uint8)
    paths = [folder / f"{number}.png" for number in range(len(pixels))]
    for path, picture in zip(paths, pixels, strict=True):
        Image.fromarray(picture).save(path)
    caption = f"a photo of {params.subject.token} {params.subject.class_name}"
    items = [Item(path.stem, path, caption, float(side), None) for path in paths]
    class_items = [replace(item, caption=params.prior.prompt) for item in items] if wants_class_images(params) else []
    return Dataset(items, items[:1]), class_items


def cost_of_image(params: Settings, steps: int, guidance_scale: float) -> UnitCost:
    """Generates two batches with few sampler steps.

    Args:
        params: With base model, sampler and validation_args.
        steps: Of the sampler, for the image that is asked about.
        guidance_scale: Likewise.

    Returns:
        The cost of one image.
    """
    from src.sampling.cache import png_bytes
    from src.stages.drawing import load_model
    from src.stages.sampling_setup import check_base, sampling_settings

    settings = replace(sampling_settings(params), guidance_scale=guidance_scale)
    check_base(params, settings)
    model = load_model(params, settings)
    text = f"a photo of a {params.subject.class_name}"
    _batch(model, settings, FEW, text)  # warms up
    (few, of_few, _), (more, of_more, images) = (_batch(model, settings, count, text) for count in (FEW, MORE))
    size = sum(len(png_bytes(image)) for image in images) / len(images)
    of_step = (more - few) / (MORE - FEW), (of_more - of_few) / (MORE - FEW)
    seconds, flops = (once + (steps - FEW) * each for once, each in zip((few, of_few), of_step, strict=True))
    return UnitCost(flops / len(images), seconds / len(images), size)


def _batch(
    model: "BaseModel", settings: "SamplingSettings", steps: int, text: str
) -> "tuple[float, float, list[Image.Image]]":
    """Generates a batch; returns seconds, TFLOP and the images."""
    from torch.utils.flop_counter import FlopCounterMode

    from src.sampling.generator import Job, sample
    from src.sampling.prompts import Prompt

    jobs = [Job(Prompt("plan", DEV, "plan", text), text, number) for number in range(settings.batch_size)]
    few = replace(settings, num_inference_steps=steps)
    began = perf_counter()
    images = [image for _, image in sample(model, few, jobs)]  # on the processor, so the device has come so far
    seconds = perf_counter() - began
    with FlopCounterMode(display=False) as counter:
        list(sample(model, few, jobs))
    return seconds, counter.get_total_flops() / 1e12, images


def describe(works: Sequence[Work], update: UnitCost, image: UnitCost, class_image: UnitCost | None) -> list[str]:
    """Lays the costs out.

    Args:
        works: Of each subject.
        update: Of an update; its `size` is that of a checkpoint.
        image: Of an image.
        class_image: Of an image of the class; None where there are none.

    Returns:
        The lines of a table.
    """
    sums = {
        name: sum(getattr(work, name) for work in works)
        for name in ("updates", "checkpoints", "class_images", "choosing", "testing")
    }
    rows = [
        ("train", f"{sums['updates']} updates, {sums['checkpoints']} checkpoints", sums["updates"], update),
        ("choose", f"{sums['choosing']} images", sums["choosing"], image),
        ("generate", f"{sums['testing']} images", sums["testing"], image),
    ]
    if class_image is not None:
        rows.insert(0, ("class_images", f"{sums['class_images']} images", sums["class_images"], class_image))
    lines, total = ["| stage | what | TFLOP | minutes | MiB |", "|---|---|---|---|---|"], [0.0, 0.0, 0.0]
    for stage, what, count, cost in rows:
        kept = sums["checkpoints"] if stage == "train" else count
        found = count * cost.tflop, count * cost.seconds / 60, kept * cost.size / MEGABYTE
        total = [whole + part for whole, part in zip(total, found, strict=True)]
        lines.append(f"| {stage} | {what} | " + " | ".join(f"{value:.4g}" for value in found) + " |")
    subjects = "1 subject" if len(works) == 1 else f"{len(works)} subjects, one after the other"
    return [*lines, f"| in all | {subjects} | " + " | ".join(f"{value:.4g}" for value in total) + " |"]


def plan(params: Settings, works: Sequence[Work]) -> list[str]:
    """Measures on this machine.

    Args:
        params: The project's settings.
        works: What is to be made.

    Returns:
        Lines of Markdown.
    """
    from src.core.device import choose_device, describe_device
    from src.training.determinism import set_deterministic

    with TemporaryDirectory() as name:
        cost, tflop = measure(params, noise_photos(params, Path(name)), UPDATES)
    set_deterministic(True)
    update = UnitCost(tflop, cost.seconds, cost.file_mib * MEGABYTE)
    values, prior = params.validation_args, params.prior
    image = cost_of_image(params, values.num_inference_steps, values.guidance_scale)
    wanted = any(work.class_images for work in works)
    of_class = cost_of_image(params, prior.num_inference_steps, prior.guidance_scale) if wanted else None
    head = (
        f"model={params.model.name}, {describe_device(choose_device(params.device))}: an update of "
        f"{params.train.batch_size} images {update.seconds:.3g} s, {update.tflop:.3g} TFLOP, "
        f"{cost.peak_mib / 1024:.3g} GiB at most; a generated image {image.seconds:.3g} s, {image.tflop:.3g} TFLOP"
    )
    return [head, "", *describe(works, update, image, of_class), "", LEFT_OUT]


@one_line("plan")
def main() -> None:
    """Prints the plan.

    Raises:
        SystemExit: Something is wrong with an override, or the base model is not here.
    """
    from src.training.determinism import set_environment

    parser = command_line("plan", __doc__)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--subjects", action="store_true", help="count each folder of subjects/")
    wanted = parser.parse_args()
    set_environment()
    words = quote_overrides(wanted.settings)
    params = load_settings(words)
    every = [params]
    if wanted.subjects:
        every = [load_settings(overrides_of(subject, wanted.settings)) for subject in find_subjects(Path())]
    print("\n".join(plan(params, [count_work(one) for one in every])))


if __name__ == "__main__":
    main()
