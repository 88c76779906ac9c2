"""Draws the prompt set with the base model and every kept checkpoint. Reads models/adapter, writes data/samples.

All variants draw the same prompts from the same noise; the base model is loaded once and adapters are swapped.
"""

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from omegaconf import DictConfig

from src.core.app import run_stage
from src.core.checkpoint_config import load_checkpoint_params
from src.core.config import to_dict
from src.core.device import choose_device
from src.core.errors import ConfigError, ModelMismatchError
from src.core.files import replaced_folder, sha256_file, work_root, write_bytes, write_csv
from src.core.provenance import model_digest
from src.core.running import held_output
from src.core.tables import read_table
from src.sampling.prompts import BARE, PRIOR, Prompt, load_prompts, lone_prompts, single_prompt
from src.training.determinism import set_deterministic, set_environment

if TYPE_CHECKING:
    from src.methods.base import AdapterFormat

BASE = "base"
CACHE = Path(".cache/samples")
MANIFEST = "manifest.csv"
SUMMARY = Path("metrics/metrics.json")


@dataclass(frozen=True)
class Variant:
    """A model to draw with.

    Attributes:
        name: ``base`` or the name of a checkpoint.
        folder: The checkpoint, or None for the base model.
    """

    name: str
    folder: Path | None

    @property
    def digest(self) -> str:
        """Hash of the adapter's weights; empty for the base model."""
        return "" if self.folder is None else sha256_file(self.folder / self.format.weights)

    @property
    def format(self) -> "AdapterFormat":
        """What the checkpoint is on disk."""
        from src.methods.formats import find_format

        found = None if self.folder is None else find_format(self.folder)
        if found is None:
            raise ModelMismatchError(f"{self.folder}: expected a checkpoint")
        return found


def list_checkpoints(folder: Path) -> list[Variant]:
    """Lists the checkpoints of a folder, or the one checkpoint that it is.

    Args:
        folder: What inferencer.ckpt_dir names.

    Returns:
        At least one variant, by step.

    Raises:
        ModelMismatchError: There is none.
    """
    from src.methods.formats import find_format, weights_names

    if find_format(folder) is not None:
        return [Variant(folder.name, folder)]
    found = sorted(path for path in folder.glob("step-*") if find_format(path) is not None)
    if not found:
        raise ModelMismatchError(
            f"inferencer.ckpt_dir={folder}: expected {weights_names()} in it or in its step-* folders"
        )
    return [Variant(path.name, path) for path in found]


def chosen_checkpoint(folder: Path) -> Variant:
    """Picks what to draw one prompt with: the checkpoint that evaluate chose of a pipeline's run, else the newest.

    Args:
        folder: What inferencer.ckpt_dir names.

    Returns:
        The checkpoint.

    Raises:
        ModelMismatchError: There is none.
    """
    checkpoints = list_checkpoints(folder)
    summary = folder.parents[1] / SUMMARY if len(folder.parts) > 1 else SUMMARY
    if len(checkpoints) > 1 and summary.is_file():
        step = json.loads(summary.read_text(encoding="utf-8"))["selected_step"]
        for variant in checkpoints:
            if variant.name == f"step-{step:06d}":
                print(f"{variant.name}: chosen on the development prompts ({summary})")
                return variant
    print(f"{checkpoints[-1].name}: the newest of {len(checkpoints)}")
    return checkpoints[-1]


def draw_variants(
    params: DictConfig, variants: list[Variant], prompts: list[Prompt], out: Path, keep: bool
) -> pd.DataFrame:
    """Draws every prompt and seed with every variant.

    Args:
        params: The stage's parameters.
        variants: Base and checkpoints.
        prompts: The prompt set.
        out: The folder to replace; it also gets manifest.csv.
        keep: Whether images of other variants and prompts stay.

    Returns:
        The manifest.
    """
    set_deterministic(True)
    from src.models.families import load_base_model
    from src.sampling.generator import Job, draw
    from src.stages.sampling_setup import SampleCache, check_base, draw_settings

    settings, device, spec = draw_settings(params), choose_device(params.device), params.model
    weights = model_digest(spec.id, spec.revision, spec.variant)
    cache = SampleCache.open(work_root() / CACHE, weights, device, settings, "src.stages.generate")
    subject = (params.subject.token, params.subject.class_name)
    images, lone = settings.num_images_per_prompt, params.validation_args.num_lone_images
    plan = [
        (
            variant,
            Job(prompt, prompt.plain(subject[1]) if variant.folder is None else prompt.with_token(*subject), seed),
        )
        for variant in variants
        for prompt in prompts
        for seed in range(lone if prompt.set in (PRIOR, BARE) else images)
    ]
    digests = {variant.name: variant.digest for variant in variants}
    missing = {
        variant.name: [job for v, job in plan if v == variant and cache.get(digests[variant.name], job) is None]
        for variant in variants
    }
    adapters = [(variant.format, variant.folder) for variant in variants if variant.folder is not None]
    if any(missing.values()):
        for form, folder in adapters:
            form.check_file(folder)
        check_base(params, settings)
        model = load_base_model(spec.id, spec.revision, spec.variant, settings.dtype, device)
        model.check_captions(sorted({job.text for _, job in plan} | {settings.negative_prompt}))
        for form, folder in adapters:
            form.check_fit(model, folder)
        for variant in variants:
            if not missing[variant.name]:
                continue
            applied = nullcontext() if variant.folder is None else variant.format.applied(model, variant.folder)
            with applied:
                for job, image in draw(model, settings, missing[variant.name]):
                    cache.put(digests[variant.name], job, image)
            print(f"{variant.name}: drew {len(missing[variant.name])} images", flush=True)
    with replaced_folder(out) as folder:
        rows = _copy_others(out, folder, {(variant.name, job.prompt.id) for variant, job in plan}) if keep else []
        for variant, job in plan:
            path = Path(variant.name) / job.prompt.id / f"{job.seed}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            drawn = cache.get(digests[variant.name], job)
            assert drawn is not None, "drawn above"
            write_bytes(folder / path, drawn)
            rows.append(
                {
                    "variant": variant.name,
                    "prompt_id": job.prompt.id,
                    "set": job.prompt.set,
                    "group": job.prompt.group,
                    "prompt": job.text,
                    "prompt_plain": job.prompt.plain(subject[1]),
                    "seed": job.seed,
                    "path": path.as_posix(),
                    "sha256": sha256_file(folder / path),
                }
            )
        manifest = pd.DataFrame(rows)
        write_csv(folder / MANIFEST, manifest)
    return manifest


def _copy_others(earlier: Path, folder: Path, drawn: set[tuple[str, str]]) -> list[dict[str, object]]:
    if not (earlier / MANIFEST).is_file():
        return []
    table = read_table(earlier / MANIFEST, "variant", "prompt_id", "path")
    rows = [row for row in table.to_dict("records") if (row["variant"], row["prompt_id"]) not in drawn]
    for row in rows:
        (folder / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(earlier / row["path"], folder / row["path"])
    return [{str(key): value for key, value in row.items()} for row in rows]


def generate_stage(params: DictConfig) -> None:
    """Draws the prompt set, or the one prompt of the command line with one checkpoint, beside what is there.

    Args:
        params: The stage's parameters.
    """
    if not params.subject.class_name.strip():
        raise ConfigError("subject.class_name is empty: expected a word, for example toy")
    adapter = Path(params.inferencer.ckpt_dir)
    out = Path(params.exp.run_dir) / "data/samples"
    with held_output(out):
        manifest = _draw(params, adapter, out)
    print(f"{len(manifest)} images in {out}", flush=True)


def _draw(params: DictConfig, adapter: Path, out: Path) -> pd.DataFrame:
    if params.prompt is not None:
        prompts = [single_prompt(str(params.prompt), params.subject.token, params.subject.class_name)]
        manifest = draw_variants(params, [chosen_checkpoint(adapter)], prompts, out, keep=True)
        for path in manifest.loc[manifest["prompt_id"] == prompts[0].id, "path"]:
            print(out / path)
    else:
        prompts = load_prompts(to_dict(params.prompts)) + lone_prompts(params.validation_args.lone_prompt)
        manifest = draw_variants(params, [Variant(BASE, None), *list_checkpoints(adapter)], prompts, out, keep=False)
    return manifest


def main() -> None:
    """Runs the stage."""
    set_environment()
    run_stage("generate", generate_stage, load_checkpoint_params)


if __name__ == "__main__":
    main()
