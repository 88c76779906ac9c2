"""Generates the prompt set with the base model and the chosen checkpoint, the dev prompts with every checkpoint. Reads
models/adapter and metrics/choice.json, writes data/samples.

All variants generate the same prompts from the same noise; the base model is loaded once and adapters are swapped.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from src.comparison.selected import find_selection
from src.core import layout
from src.core.app import Stage
from src.core.checkpoint_config import load_checkpoint_params
from src.core.device import choose_device
from src.core.errors import ConfigError, ModelMismatchError
from src.core.files import has_file
from src.core.processes import ALONE, Processes, joined
from src.core.sets import DEV
from src.core.settings import Settings
from src.metrics.names import BASE
from src.sampling.prompts import Prompt, all_prompts
from src.sampling.variants import Planned, Variant, adapter_digests, list_checkpoints, plan_images, write_samples
from src.training.determinism import set_deterministic, set_environment

# which checkpoints generate more than the dev prompts
TESTED = ("chosen", "all")


def generate_variants(
    params: Settings,
    variants: Sequence[Variant],
    prompts: Sequence[Prompt],
    out: Path,
    processes: Processes = ALONE,
    tested: Collection[str] | None = None,
) -> int:
    """Generates every prompt and seed with the base model, and with checkpoints.

    Args:
        params: The stage's parameters.
        variants: Base and checkpoints.
        prompts: The prompt set.
        out: The folder to replace, for all processes; it also gets manifest.csv.
        processes: Which share the images; the first writes the folder.
        tested: The names of those that generate all prompts, the others the dev prompts alone; None: all.

    Returns:
        How many images there are.
    """
    set_deterministic(True)
    from src.stages.drawing import draw
    from src.stages.sampling_setup import sampling_settings

    check_words(variants, params.subject.token)
    plan = plan_samples(params, variants, prompts, tested)
    cache = draw(params, sampling_settings(params), processes.share(plan)).cache
    processes.wait()
    if processes.rank == 0:
        write_samples(out, plan, cache)
    processes.wait()
    return len(plan)


def plan_samples(
    params: Settings, variants: Sequence[Variant], prompts: Sequence[Prompt], tested: Collection[str] | None
) -> list[Planned]:
    """Lists every image of the prompt set; arguments as of `generate_variants`."""
    from src.stages.sampling_setup import image_counts

    plan = plan_images(variants, prompts, (params.subject.token, params.subject.class_name), image_counts(params))
    return [one for one in plan if tested is None or one.variant.name in tested or one.job.prompt.set == DEV]


def read_prompts(params: Settings) -> list[Prompt]:
    """Reads the prompt set; errors as of `all_prompts`."""
    values = params.validation_args
    return all_prompts(params.prompts, values.subject_only_prompt, values.unrelated_prompts)


def check_words(variants: Sequence[Variant], token: str) -> None:
    """Refuses a checkpoint that taught another word than the prompts have: it would be judged by what it cannot do.

    Args:
        variants: Base and checkpoints.
        token: The rare token.

    Raises:
        ModelMismatchError: The word of its vectors is another one, or its file is damaged.
    """
    from src.methods.textual_inversion import WEIGHTS, read_file

    for variant in variants:
        if variant.folder is not None and has_file(variant.folder / WEIGHTS):
            word, _ = read_file(variant.folder)
            if word != token:
                raise ModelMismatchError(
                    f"{variant.name}: its word is {word!r}, which no prompt has: expected subject.token={word}, "
                    f"found {token}"
                )


def generate_stage(params: Settings) -> None:
    """Generates the prompt set.

    Args:
        params: The stage's parameters.
    """
    check_subject(params)
    out = Path(params.exp.run_dir) / layout.SAMPLES
    with joined(choose_device(params.device).type) as processes:
        variants = list_variants(params)
        tested = names_tested(params, variants)
        images = generate_variants(params, variants, read_prompts(params), out, processes, tested)
        print(f"{images} images in {out}", flush=True)


def list_variants(params: Settings) -> list[Variant]:
    """Returns base and the checkpoints of inferencer.ckpt_dir, by step; errors as of `list_checkpoints`."""
    return [Variant(BASE, None), *list_checkpoints(Path(params.inferencer.ckpt_dir))]


def names_tested(params: Settings, variants: Sequence[Variant]) -> set[str]:
    """Tells who generates the test prompts, the class and the subject alone.

    Args:
        params: The stage's parameters.
        variants: Base and checkpoints.

    Returns:
        The names of base and of the checkpoint that was chosen in exp.run_dir or where the checkpoints were trained;
        of all where there is one checkpoint, or where `inferencer.test_checkpoints` wants it.

    Raises:
        ConfigError: `inferencer.test_checkpoints` is another word.
        MetricError: Nobody has chosen among these checkpoints.
    """
    if (wanted := params.inferencer.test_checkpoints) not in TESTED:
        raise ConfigError(f"inferencer.test_checkpoints={wanted}: expected {' or '.join(TESTED)}")
    checkpoints = adapter_digests(variants)
    if wanted == "all" or len(checkpoints) == 1:
        return {BASE, *checkpoints}
    runs = (Path(params.exp.run_dir), layout.run_folder(Path(params.inferencer.ckpt_dir)))
    return {BASE, find_selection(runs, checkpoints).variant}


def check_subject(params: Settings) -> None:
    """Refuses a subject without a class noun.

    Args:
        params: A stage's parameters.

    Raises:
        ConfigError: It is empty.
    """
    if not params.subject.class_name.strip():
        raise ConfigError("subject.class_name is empty: expected a word, for example toy")


def main() -> None:
    """Runs the stage."""
    set_environment()
    Stage(
        "generate", generate_stage, load_checkpoint_params, writes=layout.SAMPLES, in_run_dir=True, several=True
    ).main()


if __name__ == "__main__":
    main()
