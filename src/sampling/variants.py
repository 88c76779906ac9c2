"""Every prompt and seed with base and every checkpoint: what to generate, and the folder with its manifest."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from src.core import layout
from src.core.errors import ModelMismatchError
from src.core.files import replaced_folder, sha256_bytes, sha256_file, write_bytes, write_csv
from src.core.tables import read_table
from src.methods.base import AdapterFormat
from src.methods.foreign.opening import open_adapter
from src.methods.formats import find_format, weights_names
from src.models.base import BaseModel
from src.sampling.cache import SampleCache
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt


@dataclass(frozen=True)
class Variant:
    """A model to generate with.

    Attributes:
        name: ``base`` or the name of a checkpoint.
        folder: The checkpoint, or None for the base model.
    """

    name: str
    folder: Path | None

    @cached_property
    def digest(self) -> str:
        """Hash of what was trained; empty for the base model."""
        if self.folder is None:
            return ""
        found = [sha256_file(self.folder / file) for file in self.format.files]
        return found[0] if len(found) == 1 else sha256_bytes(" ".join(found).encode())

    @property
    def format(self) -> AdapterFormat:
        """What the checkpoint is on disk."""
        found = None if self.folder is None else find_format(self.folder)
        if found is None:
            raise ModelMismatchError(f"{self.folder}: expected a checkpoint")
        return found


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
        return [Variant(opened.name, opened)]
    found = sorted(path for path in folder.glob(layout.CHECKPOINTS) if find_format(path) is not None)
    if not found:
        raise ModelMismatchError(
            f"inferencer.ckpt_dir={folder}: expected an adapter's .safetensors file, or a folder with one or with "
            f"{weights_names()} or step-* folders"
        )
    return [Variant(path.name, path) for path in found]


def chosen_checkpoint(folder: Path) -> Variant:
    """Picks what to generate one prompt with: the checkpoint that evaluate chose of a pipeline's run, else the newest.

    Args:
        folder: What inferencer.ckpt_dir names.

    Returns:
        The checkpoint.

    Raises:
        ModelMismatchError: There is none.
    """
    checkpoints = list_checkpoints(folder)
    summary = folder.parents[1] / layout.SUMMARY if len(folder.parts) > 1 else layout.SUMMARY
    if len(checkpoints) > 1 and summary.is_file():
        step = json.loads(summary.read_text(encoding="utf-8"))["selected_step"]
        for variant in checkpoints:
            if variant.name == layout.checkpoint_name(step):
                print(f"{variant.name}: chosen on the development prompts ({summary})")
                return variant
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
        if variant.folder is not None:
            variant.format.check_fit(model, variant.folder)
    for variant, jobs in missing.items():
        applied = nullcontext() if variant.folder is None else variant.format.applied(model, variant.folder)
        with applied:
            # a word of several vectors makes texts longer
            model.check_captions(sorted({job.text for job in jobs}))
            for job, image in sample(model, settings, jobs):
                cache.put(variant.digest, job, image)
        print(f"{variant.name}: generated {len(jobs)} images", flush=True)


def write_samples(out: Path, plan: Sequence[Planned], cache: SampleCache, keep: bool) -> pd.DataFrame:
    """Copies what was planned out of the cache into a folder of images.

    Args:
        out: The folder to replace; it also gets manifest.csv.
        plan: All of it has been generated.
        cache: Where images are.
        keep: Whether earlier images stay; names then end with eight digits of all that decides an image.

    Returns:
        The manifest.
    """
    ends = [f"-{cache.path(one.variant.digest, one.job).stem[:8]}" if keep else "" for one in plan]
    paths = [
        Path(one.variant.name) / one.job.prompt.id / f"{one.job.seed}{end}.png"
        for one, end in zip(plan, ends, strict=True)
    ]
    with replaced_folder(out) as folder:
        rows = _copy_others(out, folder, {path.as_posix() for path in paths}) if keep else []
        for (variant, job, plain), path in zip(plan, paths, strict=True):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            generated = cache.get(variant.digest, job)
            assert generated is not None, "generated before"
            write_bytes(folder / path, generated)
            rows.append(
                {
                    "variant": variant.name,
                    "prompt_id": job.prompt.id,
                    "set": job.prompt.set,
                    "group": job.prompt.group,
                    "prompt": job.text,
                    "prompt_plain": plain,
                    "seed": job.seed,
                    "path": path.as_posix(),
                    "sha256": sha256_file(folder / path),
                }
            )
        manifest = pd.DataFrame(rows)
        write_csv(folder / layout.MANIFEST.name, manifest)
    return manifest


def _copy_others(earlier: Path, folder: Path, generated: set[str]) -> list[dict[str, object]]:
    if not (earlier / layout.MANIFEST.name).is_file():
        return []
    table = read_table(earlier / layout.MANIFEST.name, "path")
    rows = [row for row in table.to_dict("records") if row["path"] not in generated]
    for row in rows:
        (folder / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(earlier / row["path"], folder / row["path"])
    return [{str(key): value for key, value in row.items()} for row in rows]
