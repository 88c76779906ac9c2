"""Every prompt and seed with base and every checkpoint: what to generate, and the folder with its manifest."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from src.comparison.selected import read_selection
from src.core import layout
from src.core.errors import MetricError, ModelMismatchError
from src.core.files import has_file, replaced_folder, sha256_bytes, sha256_file, write_bytes, write_csv
from src.core.progress import follow
from src.methods.base import AdapterFormat
from src.methods.foreign.opening import adapter_name, open_adapter
from src.methods.formats import find_format, weights_names
from src.methods.weighted import Weighted, check_weights, together
from src.metrics.names import ROWS
from src.models.base import BaseModel
from src.sampling.cache import SampleCache, put_all
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt


@dataclass(frozen=True)
class Variant:
    """A model to generate with.

    Attributes:
        name: ``base`` or the name of a checkpoint.
        folder: The checkpoint, or None for the base model.
        weight: How much of the checkpoint's change, see `src.methods.weighted`.
        others: More checkpoints on top of it, without others of their own.
        fuse: As of `src.methods.weighted.together`.
    """

    name: str
    folder: Path | None
    weight: float = 1.0
    others: "tuple[Variant, ...]" = ()
    fuse: bool | None = None

    @property
    def adapters(self) -> "list[Variant]":
        """The checkpoints that change anything."""
        return [one for one in (self, *self.others) if one.folder is not None and one.weight != 0]

    @cached_property
    def digest(self) -> str:
        """Hash of what was trained, with the weights where they are others than 1; empty for the base model."""
        used = self.adapters
        if self.fuse is None and [one.weight for one in used] in ([], [1.0]):
            return used[0].file_digest if used else ""
        named = [f"{one.file_digest}*{one.weight!r}" for one in used]
        return sha256_bytes(" ".join([f"fuse={self.fuse}", *named]).encode()) if used else ""

    @cached_property
    def file_digest(self) -> str:
        """Hash of the checkpoint's files."""
        assert self.folder is not None, "the base model has none"
        found = [sha256_file(self.folder / file) for file in self.format.files]
        return found[0] if len(found) == 1 else sha256_bytes(" ".join(found).encode())

    @property
    def format(self) -> AdapterFormat:
        """What the checkpoint is on disk."""
        found = None if self.folder is None else find_format(self.folder)
        if found is None:
            raise ModelMismatchError(f"{self.folder}: expected a checkpoint")
        return found

    def check_files(self) -> None:
        """Reads the checkpoints before any model is loaded; errors as of `AdapterFormat` and `check_weights`."""
        for one in self._weighted():
            one.format.check_file(one.folder)
        check_weights(self._weighted(), self.fuse)

    def check_fit(self, model: BaseModel) -> None:
        """Compares the checkpoints with a base; errors as of `AdapterFormat.check_fit`."""
        for one in self._weighted():
            one.format.check_fit(model, one.folder)

    def applied(self, model: BaseModel) -> AbstractContextManager[None]:
        """Puts the checkpoints on a base, or nothing; see `src.methods.weighted.together`."""
        return together(model, self._weighted(), self.fuse) if self.adapters else nullcontext()

    def _weighted(self) -> list[Weighted]:
        return [Weighted(one.format, one.folder, one.weight) for one in self.adapters if one.folder is not None]


def list_checkpoints(folder: Path) -> list[Variant]:
    """Lists the checkpoints of a folder, or the one checkpoint that it is; files of other tools are converted.

    Args:
        folder: What inferencer.ckpt_dir names.

    Returns:
        At least one variant, by step.

    Raises:
        ModelMismatchError: There is none, or it cannot be read.
    """
    if find_format(opened := open_adapter(folder)) is not None:
        name = adapter_name(opened)
        return [Variant(f"adapter-{name}" if name in ROWS else name, opened)]
    found = sorted(path for path in folder.glob(layout.CHECKPOINTS) if find_format(path) is not None)
    if not found:
        raise ModelMismatchError(
            f"inferencer.ckpt_dir={folder}: expected an adapter's .safetensors file, or a folder with one or with "
            f"{weights_names()} or step-* folders"
        )
    return [Variant(path.name, path) for path in found]


def adapter_digests(variants: Iterable[Variant]) -> dict[str, str]:
    """Returns the digest of each checkpoint among variants, by its name."""
    return {variant.name: variant.digest for variant in variants if variant.folder is not None}


def chosen_checkpoint(folder: Path) -> Variant:
    """Picks what to generate one prompt with: the chosen checkpoint of a run, else the newest, with a line.

    Args:
        folder: What inferencer.ckpt_dir names.

    Returns:
        The checkpoint.

    Raises:
        ModelMismatchError: There is none.
    """
    checkpoints, run = list_checkpoints(folder), layout.run_folder(folder)
    if len(checkpoints) > 1 and has_file(run / layout.CHOICE):
        try:
            chosen = read_selection(run / layout.CHOICE, adapter_digests(checkpoints)).variant
        except MetricError as error:  # trained again since
            print(error)
        else:
            print(f"{chosen}: chosen on the development prompts ({run / layout.CHOICE})")
            return next(one for one in checkpoints if one.name == chosen)
    print(f"{checkpoints[-1].name}: the newest of {len(checkpoints)}")
    return checkpoints[-1]


class Planned(NamedTuple):
    """One image of the plan.

    Attributes:
        variant: Which model generates it.
        job: What.
        plain: The prompt without the rare token.
    """

    variant: Variant
    job: Job
    plain: str


def plan_images(
    variants: Iterable[Variant], prompts: Sequence[Prompt], subject: tuple[str, str], images: Mapping[str, int]
) -> list[Planned]:
    """Lists every image: the base model is asked for the class, a checkpoint for the subject.

    Args:
        variants: Base and checkpoints.
        prompts: The prompt set.
        subject: The rare token and the class noun.
        images: Of each prompt, by set.

    Returns:
        By variant, prompt and seed.
    """
    return [
        Planned(variant, Job(prompt, plain if variant.folder is None else prompt.with_token(*subject), seed), plain)
        for variant in variants
        for prompt, plain in ((prompt, prompt.plain(subject[1])) for prompt in prompts)
        for seed in range(images[prompt.set])
    ]


def missing_jobs(plan: Iterable[Planned], cache: SampleCache) -> dict[Variant, list[Job]]:
    """Returns what has not been generated yet, by variant; variants of which all is there are left out."""
    missing: dict[Variant, list[Job]] = {}
    for variant, job, _ in plan:
        if cache.get(variant.digest, job) is None:
            missing.setdefault(variant, []).append(job)
    return missing


def generate_missing(
    model: BaseModel, settings: SamplingSettings, missing: Mapping[Variant, list[Job]], cache: SampleCache
) -> None:
    """Generates into the cache; the base model is loaded once and checkpoints are swapped on it.

    Args:
        model: The base.
        settings: How.
        missing: From `missing_jobs`.
        cache: Where images go.

    Raises:
        CaptionError: A prompt is longer than a text encoder takes.
        ModelMismatchError: A checkpoint was made for another base; nothing has been generated then.
    """
    texts = {job.text for jobs in missing.values() for job in jobs}
    model.check_captions(sorted(texts | {settings.negative_prompt}))
    for variant in missing:
        variant.check_fit(model)
    for variant, jobs in missing.items():
        with variant.applied(model):
            # a word of several vectors makes texts longer
            model.check_captions(sorted({job.text for job in jobs}))
            images = follow(sample(model, settings, jobs), len(jobs), variant.name, "images")
            put_all(cache, variant.digest, images)
        print(f"{variant.name}: generated {len(jobs)} images", flush=True)


def write_samples(out: Path, plan: Sequence[Planned], cache: SampleCache) -> pd.DataFrame:
    """Copies what was planned out of the cache into a folder of images.

    Args:
        out: The folder to replace; it also gets manifest.csv.
        plan: All of it has been generated.
        cache: Where images are.

    Returns:
        The manifest.
    """
    with replaced_folder(out) as folder:
        rows = []
        for one in plan:
            path = Path(one.variant.name) / one.job.prompt.id / f"{one.job.seed}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            generated = cache.get(one.variant.digest, one.job)
            assert generated is not None, "generated before"
            write_bytes(folder / path, generated)
            row = manifest_row(one, path, sha256_file(folder / path))
            rows.append({**row, "adapter": one.variant.digest})
        manifest = pd.DataFrame(rows)
        write_csv(folder / layout.MANIFEST.name, manifest)
    return manifest


def manifest_row(planned: Planned, path: Path, sha256: str) -> dict[str, Any]:
    """Returns what manifest.csv says of an image.

    Args:
        planned: What it shows.
        path: Its file, from the manifest's folder.
        sha256: Of the file.

    Returns:
        Values by column.
    """
    variant, job, plain = planned
    return {
        "variant": variant.name,
        "prompt_id": job.prompt.id,
        "set": job.prompt.set,
        "group": job.prompt.group,
        "prompt": job.text,
        "prompt_plain": plain,
        "seed": job.seed,
        "path": path.as_posix(),
        "sha256": sha256,
    }
