"""Trains a model from noise: `python train.py exp.config_path=configs/scratch/NAME.yaml`. Writes exp.run_dir."""

import json
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core import layout
from src.core.app import Stage
from src.core.building import build, build_each, check_class
from src.core.device import choose_device, choose_precision, describe_device
from src.core.files import replaced_folder, sha256_bytes, sha256_file, sha256_tree, work_root, write_json, write_text
from src.core.places import without_places
from src.core.pretraining_config import load_pretraining_config, shown_pretraining_config
from src.core.pretraining_settings import PretrainSettings
from src.core.provenance import code_digest
from src.core.running import held_output
from src.core.targets import target_modules
from src.core.typed import as_yaml, plain
from src.training.curves import report_rows, write_curve
from src.training.determinism import set_deterministic, set_environment
from src.training.fingerprint import fingerprint
from src.training.lengths import Length, take_over
from src.training.state import StateFolder, resumes_at

if TYPE_CHECKING:
    from torch import Tensor

    from src.pretraining.engine import Curves, Task
    from src.pretraining.images import ImageSet
    from src.trackers.protocol import Tracker

# Held-out images of each class that is generated, for the page.
REAL_EXAMPLES = 4
# Changing these, or what evaluations measure, changes what is written down, and how long it trains, never a weight.
WATCHING = ("steps", "save_every", "eval_every")
WATCHED_BY = ("measures", "watched")
OBSERVERS = ("exp", "tracker", "subject")
# pictures that trackers get at a time
TRACKED = 64
# keys of tasks that name folders of models
MODELS = ("vae", "start", "backbone")


def build_length(params: PretrainSettings) -> Length:
    """Reads how long a training is and what it leaves."""
    train, schedule = params.train, build(params.lr_schedule, "lr_schedule")
    task: Any = check_class("task._target_", params.task["_target_"])
    ahead = (lambda _, steps: float(steps)) if task.looks_ahead else schedule.factor
    return Length(train.steps, None, train.eval_every, ahead, train.log_every, name_measures(params))


def state_folder(params: PretrainSettings, data: list[Any], device: str, length: Length) -> StateFolder:
    """Names the state after everything that decides the weights: parameters, images, code, versions.

    Args:
        params: The resolved parameters.
        data: Image sets.
        device: Kind of device.
        length: Ends the name, so that trainings that differ in it alone lie side by side.

    Returns:
        Where to resume from.
    """
    resolved = {key: value for key, value in plain(params).items() if key not in OBSERVERS}
    for name in WATCHING:
        resolved["train"].pop(name)
    resolved["task"] = {name: value for name, value in params.task.items() if name not in WATCHED_BY}
    named = [*map(params.task.get, MODELS), (params.task.get("alignment") or {}).get("encoder")]
    folders = [value for value in named if value is not None]
    code = code_digest("src.stages.pretraining", *target_modules(resolved))
    models = ":".join(sha256_tree(Path(folder)) for folder in folders)
    name = fingerprint(resolved, [images.digest() for images in data], models, code, device)
    return StateFolder(work_root() / layout.STATES / f"pretraining-{name}-{length.name}")


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


def pretraining_stage(params: PretrainSettings) -> None:
    """Trains, or goes on with what was interrupted, and writes model, curves, samples and report.

    Args:
        params: The resolved parameters.
    """
    set_deterministic(params.train.deterministic)
    from src.pretraining.engine import Given, Watch, train_from_noise
    from src.pretraining.plan import Plan
    from src.trackers.multi import tracked

    device = choose_device(params.device)
    params.train.mixed_precision = choose_precision(params.train.mixed_precision, device)
    plan = Plan(**{name: value for name, value in vars(params.train).items() if name != "deterministic"})
    train_set, val_set = build(params.train_data, "train_data").load(), build(params.val_data, "val_data").load()
    length = build_length(params)
    state = state_folder(params, [train_set, val_set], device.type, length)
    run_dir = Path(params.exp.run_dir)
    decisive = without_places({key: value for key, value in plain(params).items() if key not in OBSERVERS})
    with held_output(run_dir) as output, state.locked(), plain_attention(device.type):
        taken = take_over(state, length)
        services = build_each(params.tracker, "tracker")
        saved = state.load() if services else None
        run_name = f"{run_dir.name}-{state.path.name.split('-')[1][:8]}-{length.name}"
        with tracked(services, run_name, 0 if taken else resumes_at(saved, plan.steps)) as tracker:
            tracker.config(decisive)
            if taken and saved is not None and saved.step < plan.steps:
                report_rows(tracker, [*saved.losses, *saved.validations])
            given = Given(train_set, val_set, plan, params.seed, device)
            task = build(params.task, "task", _partial_=True)(given)
            watch = Watch(
                length.measured,
                log=lambda row: report_rows(tracker, [row]),
                sample=partial(_show, tracker) if services else None,
            )
            schedule = build(params.lr_schedule, "lr_schedule")
            curves = train_from_noise(task, plan, schedule, params.seed, state, watch)
            if saved is not None and saved.step >= plan.steps:  # a tracker may be added afterwards
                report_rows(tracker, [*curves.losses, *curves.evaluations])
                _show(tracker, plan.steps, task.samples())
            output.check()
            publish(run_dir, task, val_set, curves, decisive)
            tracker.artifact("model", run_dir / layout.RUN_MODEL)
    print(f"{run_dir}: {plan.steps} updates in {curves.seconds / 60:z.1f} minutes on {describe_device(device)}")


def publish(run_dir: Path, task: "Task", val_set: "ImageSet", curves: "Curves", made_by: dict[str, Any]) -> None:
    """Writes the stage's outputs: model, samples, curves, parameters, time and report.

    Args:
        run_dir: Gets them.
        task: What was trained, with the averaged weights.
        val_set: Held-out images, of which some are shown beside the samples.
        curves: Of the training.
        made_by: The parameters.
    """
    from src.pretraining.images import examples, save_samples
    from src.reporting.pretraining import write_pretraining_report

    with replaced_folder(run_dir) as folder:
        task.save(folder / layout.RUN_MODEL)
        generated = task.samples()
        save_samples(folder / layout.RUN_SAMPLES, generated)
        save_samples(folder / layout.RUN_REAL, examples(val_set, generated, REAL_EXAMPLES))
        write_curve(folder / layout.RUN_LOSS, curves.losses)
        write_curve(folder / layout.RUN_EVALUATION, curves.evaluations)
        write_text(folder / layout.RUN_CONFIG, as_yaml(made_by))
        write_json(folder / layout.RUN_TIME, {"minutes": curves.seconds / 60, "device": describe_device(task.device)})
        write_pretraining_report(folder, run_dir.name)


def _show(tracker: "Tracker", step: int, samples: "dict[str, Tensor]") -> None:
    """Passes pictures on, as many of each class as TRACKED leaves room for, and one at least."""
    from src.models.pixels import as_image

    each = max(1, TRACKED // max(1, len(samples)))
    pictures = [(name, pixels) for name, images in samples.items() for pixels in images[:each]]
    if pictures:
        images = [as_image(pixels) for _, pixels in pictures]
        tracker.images(step, "samples", images, [name for name, _ in pictures])


def main() -> None:
    """Runs the stage."""
    set_environment()
    Stage("pretraining", pretraining_stage, load_pretraining_config, keys=shown_pretraining_config).main()


if __name__ == "__main__":
    main()
