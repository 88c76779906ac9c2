"""Trains a model from noise: `python train.py exp.config_path=configs/scratch/NAME.yaml`. Writes exp.run_dir."""

import json
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from src.core import layout
from src.core.app import run_stage
from src.core.building import build
from src.core.device import choose_device, choose_precision, describe_device
from src.core.files import (
    replaced_folder,
    sha256_bytes,
    sha256_file,
    sha256_tree,
    work_root,
    write_csv,
    write_json,
    write_text,
)
from src.core.places import without_places
from src.core.pretraining_config import load_pretraining_config
from src.core.provenance import code_digest
from src.core.running import held_output
from src.core.settings import PretrainSettings
from src.core.targets import target_modules
from src.core.typed import as_yaml, plain
from src.training.determinism import set_deterministic, set_environment
from src.training.state import Row, StateFolder

# Held-out images of each class that is drawn, for the page.
REAL_EXAMPLES = 4
# Changing these, or what evaluations measure, changes what is written down, never a weight.
WATCHING = ("save_every", "eval_every")
WATCHED_BY = ("measures", "watched")
# keys of tasks that name folders of models
MODELS = ("vae", "start", "backbone")


def state_folder(params: PretrainSettings, data: list[Any], device: str) -> StateFolder:
    """Names the state after everything that decides the weights: parameters, images, code, versions.

    Args:
        params: The resolved parameters.
        data: Image sets.
        device: Kind of device.

    Returns:
        Where to resume from.
    """
    resolved = plain(params)
    resolved.pop("exp")
    for name in WATCHING:
        resolved["train"].pop(name)
    resolved["task"] = {name: value for name, value in params.task.items() if name not in WATCHED_BY}
    named = [*map(params.task.get, MODELS), (params.task.get("alignment") or {}).get("encoder")]
    folders = [value for value in named if value is not None]
    parts = {
        "params": resolved,
        "data": [images.digest() for images in data],
        "models": [sha256_tree(Path(folder)) for folder in folders],
        "code": code_digest("src.stages.pretraining", *target_modules(resolved)),
        "device": device,
    }
    name = sha256_bytes(json.dumps(parts, sort_keys=True).encode())[:16]
    return StateFolder(work_root() / layout.STATES / f"pretraining-{name}")


def name_measures(params: PretrainSettings) -> str:
    """Names what evaluations measure: the measures' values, the content of the files that they name, watched sets.

    Args:
        params: The resolved parameters.

    Returns:
        A digest.
    """
    task = params.task
    measures = task.get("measures", [])
    features = [value for measure in measures for value in measure.get("features", {}).values()]
    named = [Path(value) for value in features if isinstance(value, str)]
    files = [sha256_tree(path) if path.is_dir() else sha256_file(path) for path in named if path.exists()]
    return sha256_bytes(json.dumps([measures, files, task.get("watched", {})], sort_keys=True).encode())


def plain_attention(device: str) -> AbstractContextManager[object]:
    """Returns the context in which attention runs: on CPUs flash attention's backward pass is slower than products."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if device == "cpu" else nullcontext()


def write_curve(path: Path, rows: list[Row]) -> None:
    """Writes a curve, a row each."""
    columns = ["step", *sorted(set(rows[0]) - {"step"})]
    write_csv(path, pd.DataFrame(rows)[columns].astype({"step": int}))


def pretraining_stage(params: PretrainSettings) -> None:
    """Trains, or goes on with what was interrupted, and writes model, curves, samples and report.

    Args:
        params: The resolved parameters.
    """
    set_deterministic(params.train.deterministic)
    from src.pretraining.engine import Given, Plan, train_from_noise
    from src.pretraining.images import examples, save_samples
    from src.reporting.pretraining import write_pretraining_report

    device = choose_device(params.device)
    params.train.mixed_precision = choose_precision(params.train.mixed_precision, device)
    plan = Plan(**{name: value for name, value in vars(params.train).items() if name != "deterministic"})
    train_set, val_set = build(params.train_data, "train_data").load(), build(params.val_data, "val_data").load()
    state = state_folder(params, [train_set, val_set], device.type)
    run_dir = Path(params.exp.run_dir)
    with held_output(run_dir) as output, state.locked(), plain_attention(device.type):
        task = build(params.task, "task", _partial_=True)(Given(train_set, val_set, plan, params.seed, device))
        schedule = build(params.lr_schedule, "lr_schedule")
        curves = train_from_noise(task, plan, schedule, params.seed, state, name_measures(params))
        output.check()
        with replaced_folder(run_dir) as folder:
            task.save(folder / layout.RUN_MODEL)
            drawn = task.samples()
            save_samples(folder / layout.RUN_SAMPLES, drawn)
            save_samples(folder / layout.RUN_REAL, examples(val_set, drawn, REAL_EXAMPLES))
            write_curve(folder / layout.RUN_LOSS, curves.losses)
            write_curve(folder / layout.RUN_EVALUATION, curves.evaluations)
            made_by = without_places({key: value for key, value in plain(params).items() if key != "exp"})
            write_text(folder / layout.RUN_CONFIG, as_yaml(made_by))
            write_json(folder / layout.RUN_TIME, {"minutes": curves.seconds / 60, "device": describe_device(device)})
            write_pretraining_report(folder, run_dir.name)
    print(f"{run_dir}: {plan.steps} updates in {curves.seconds / 60:z.1f} minutes on {describe_device(device)}")


def main() -> None:
    """Runs the stage."""
    set_environment()
    run_stage(
        "pretraining", pretraining_stage, load_pretraining_config, keys=partial(load_pretraining_config, "pretraining")
    )


if __name__ == "__main__":
    main()
