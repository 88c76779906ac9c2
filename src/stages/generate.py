"""Generates the prompt set with the base model and every kept checkpoint. Reads models/adapter, writes data/samples.

All variants generate the same prompts from the same noise; the base model is loaded once and adapters are swapped.
"""

from pathlib import Path

import pandas as pd

from src.core import layout
from src.core.app import Stage
from src.core.checkpoint_config import load_checkpoint_params
from src.core.device import choose_device
from src.core.errors import ConfigError
from src.core.files import work_root
from src.core.provenance import model_digest
from src.core.running import held_output
from src.core.settings import Settings
from src.metrics.names import BASE
from src.sampling.prompts import Prompt, all_prompts, single_prompt
from src.sampling.variants import Variant, chosen_checkpoint, list_checkpoints
from src.training.determinism import set_deterministic, set_environment


def generate_variants(
    params: Settings, variants: list[Variant], prompts: list[Prompt], out: Path, keep: bool
) -> pd.DataFrame:
    """Generates every prompt and seed with every variant.

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
    from src.methods.foreign.bases import check_base_of
    from src.models.families import load_base_model
    from src.sampling.cache import SampleCache
    from src.sampling.variants import generate_missing, missing_jobs, plan_images, write_samples
    from src.stages.sampling_setup import check_base, find_base, generation_code, image_counts, sampling_settings

    settings, device, spec = sampling_settings(params), choose_device(params.device), params.model
    weights = model_digest(spec.id, spec.revision, spec.variant, spec.config)
    code = generation_code("src.stages.generate")
    cache = SampleCache.open(work_root() / layout.SAMPLE_CACHE, weights, device, settings, code)
    subject = (params.subject.token, params.subject.class_name)
    plan = plan_images(variants, prompts, subject, image_counts(params))
    if missing := missing_jobs(plan, cache):
        for variant in variants:
            if variant.folder is not None:
                variant.format.check_file(variant.folder)
        check_base(params, settings)
        for variant in variants:
            if variant.folder is not None:
                check_base_of(variant.folder, find_base(params))
        model = load_base_model(spec.id, spec.revision, spec.variant, settings.dtype, device, spec.config)
        generate_missing(model, settings, missing, cache)
    return write_samples(out, plan, cache, keep)


def generate_stage(params: Settings) -> None:
    """Generates the prompt set, or the one prompt of the command line with one checkpoint, beside what is there.

    Args:
        params: The stage's parameters.
    """
    if not params.subject.class_name.strip():
        raise ConfigError("subject.class_name is empty: expected a word, for example toy")
    adapter = Path(params.inferencer.ckpt_dir)
    out = Path(params.exp.run_dir) / layout.SAMPLES
    with held_output(out):
        manifest = _sample(params, adapter, out)
    print(f"{len(manifest)} images in {out}", flush=True)


def _sample(params: Settings, adapter: Path, out: Path) -> pd.DataFrame:
    if params.prompt is not None:
        prompts = [single_prompt(params.prompt, params.subject.token, params.subject.class_name)]
        manifest = generate_variants(params, [chosen_checkpoint(adapter)], prompts, out, keep=True)
        for path in manifest.loc[manifest["prompt_id"] == prompts[0].id, "path"]:
            print(out / path)
    else:
        values = params.validation_args
        prompts = all_prompts(params.prompts, values.subject_only_prompt, values.unrelated_prompts)
        manifest = generate_variants(
            params, [Variant(BASE, None), *list_checkpoints(adapter)], prompts, out, keep=False
        )
    return manifest


def main() -> None:
    """Runs the stage."""
    set_environment()
    Stage("generate", generate_stage, load_checkpoint_params).main()


if __name__ == "__main__":
    main()
