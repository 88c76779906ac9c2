"""Trains the adapter. Reads data/crops, data/captions.csv, data/split.csv (data/class_images), writes models/adapter
and metrics/train; resumes from .train_state after any interruption."""

import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from src.core import layout
from src.core.app import Stage
from src.core.building import build, build_each
from src.core.config import OBSERVERS, TRAIN_OBSERVERS
from src.core.device import choose_device
from src.core.errors import ConfigError
from src.core.files import replaced_folder, sha256_tree, work_root, write_text
from src.core.places import without_places
from src.core.provenance import code_digest, model_digest
from src.core.running import Lock, held_output
from src.core.settings import Settings
from src.core.targets import target_modules
from src.core.typed import as_yaml, plain
from src.data.dataset import load_class_images, load_dataset
from src.stages.class_images import wants_class_images
from src.training.curves import report_rows, write_curve
from src.training.determinism import set_deterministic, set_environment
from src.training.fingerprint import fingerprint
from src.training.launch_settings import check_accelerator, check_launch
from src.training.lengths import Length, take_over
from src.training.processes import report_processes
from src.training.schedules import LrSchedule
from src.training.state import CHECKPOINTS, SavedState, StateFolder, resumes_at

if TYPE_CHECKING:
    from accelerate import Accelerator

    from src.stages.early_stopping import EarlyStopping
    from src.trackers.protocol import Tracker

# Changing these changes how long it trains, what is written down or watched, never the weights after an update.
WATCHING = ("steps", "checkpoint_every", "val_every", "save_every", "sample_every", "sample_prompts")


def build_accelerator(params: Settings) -> "Accelerator":
    """Chooses device, precision and processes, and refuses combinations that lose gradients.

    Args:
        params: The stage's parameters.

    Returns:
        The accelerator of this process.

    Raises:
        ConfigError: The precision cannot work, or the environment says otherwise than the parameters.
    """
    precision, base, device = params.train.mixed_precision, params.train.base_dtype, params.device
    if precision not in ("no", "bf16", "fp16") or base not in ("fp32", "bf16", "fp16"):
        raise ConfigError(
            f"train.mixed_precision={precision} (expected no, bf16 or fp16), "
            f"train.base_dtype={base} (expected fp32, bf16 or fp16)"
        )
    if base == "fp16" and precision != "fp16":
        raise ConfigError("train.base_dtype=fp16 needs train.mixed_precision=fp16: its gradients underflow unscaled")
    kind = choose_device(device).type
    if precision == "fp16" and kind != "cuda":
        raise ConfigError("train.mixed_precision=fp16 needs a GPU: its gradient scaler runs on CUDA; use bf16 or no")
    accumulation = params.train.gradient_accumulation_steps
    check_launch(os.environ, accumulation)
    from accelerate import Accelerator

    accelerator = Accelerator(mixed_precision=precision, gradient_accumulation_steps=accumulation, cpu=kind == "cpu")
    check_accelerator(accelerator, precision, accumulation)
    return accelerator


def build_length(params: Settings, schedule: LrSchedule) -> Length:
    """Reads how long a run is and what it leaves."""
    train = params.train
    return Length(train.steps, train.checkpoint_every, train.val_every, schedule.factor)


def state_folder(
    params: Settings, accelerator: "Accelerator", stopping: "EarlyStopping | None", length: Length
) -> StateFolder:
    """Names the state after everything that decides the weights: parameters, data, base model, code, versions.

    Args:
        params: The stage's parameters.
        accelerator: Kind of device, number of processes.
        stopping: When to end before the last step.
        length: Ends the name, so that runs of one training lie side by side.

    Returns:
        Where to resume from.
    """
    resolved = plain(params) | {"stopping": None}
    if stopping is not None:
        # it asks after every checkpoint
        resolved["stopping"] = {**stopping.identity(), "checkpoint_every": params.train.checkpoint_every}
    for name in (*OBSERVERS, *TRAIN_OBSERVERS):
        resolved.pop(name)
    for name in (*WATCHING, "checkpoint_path"):
        resolved["train"].pop(name)
    data = [layout.CROPS, layout.CAPTIONS, layout.SPLIT] + ([layout.CLASS_IMAGES] if wants_class_images(params) else [])
    if params.train.checkpoint_path:
        data += starting_files(Path(params.train.checkpoint_path))
    work = f"{accelerator.device.type} x {accelerator.num_processes}"
    spec = params.model
    model = model_digest(spec.id, spec.revision, spec.variant, spec.config)
    # without early stopping no metric decides when a training ends
    without = ["src.stages.early_stopping"] if stopping is None else []
    # nor the library that quantises what a weight is
    without += ["src.models.quantized"] if params.train.quantize == "none" else []
    code = code_digest("src.stages.train", *target_modules(resolved), without=without)
    name = fingerprint(resolved, [sha256_tree(path) for path in data], model, code, work)
    return StateFolder(work_root() / layout.STATES / f"{name}-{length.name}")


def starting_files(folder: Path) -> list[Path]:
    """Returns the files of the adapter to begin with; their content, not their place, names the state.

    Args:
        folder: `train.checkpoint_path`.

    Returns:
        What was trained.

    Raises:
        ConfigError: There is none.
    """
    from src.methods.foreign.opening import open_adapter
    from src.methods.formats import find_format, weights_names

    folder = open_adapter(folder)
    found = find_format(folder)
    if found is None:
        raise ConfigError(
            f"train.checkpoint_path={folder}: expected a checkpoint of an adapter, a folder with {weights_names()}; "
            "DVC empties models/adapter before a training, so copy one from there first"
        )
    return [folder / file for file in found.files]


def publish(params: Settings, state: StateFolder, saved: SavedState) -> None:
    """Writes the stage's outputs: every kept checkpoint with the parameters that made it, and the curves.

    Args:
        params: The stage's parameters.
        state: Where the checkpoints are.
        saved: The final state.
    """
    run_dir = Path(params.exp.run_dir)
    decisive = {key: value for key, value in plain(params).items() if key not in (*OBSERVERS, *TRAIN_OBSERVERS)}
    made_by = without_places(decisive)
    with replaced_folder(run_dir / layout.ADAPTER) as folder:
        for checkpoint in sorted(path for path in (state.path / CHECKPOINTS).glob(layout.CHECKPOINTS) if path.is_dir()):
            (folder / checkpoint.name).mkdir()
            for file in sorted(checkpoint.iterdir()):
                shutil.copyfile(file, folder / checkpoint.name / file.name)
            write_text(folder / checkpoint.name / layout.ADAPTER_CONFIG, as_yaml(made_by))
    for path, rows in ((layout.LOSS, saved.losses), (layout.VAL_LOSS, saved.validations)):
        write_curve(run_dir / path, rows)


def report_finished(saved: SavedState, tracker: "Tracker") -> None:
    """Tells the trackers of a run that had finished before, so that a tracker may be added afterwards.

    Args:
        saved: The final state.
        tracker: Who watches.
    """
    print(f"these parameters and data were trained before: publishing the result of step {saved.step}")
    report_rows(tracker, [*saved.losses, *saved.validations])


def train_stage(params: Settings) -> float:
    """Trains, or finishes what an interrupted run began, and publishes the result.

    Args:
        params: The stage's parameters.

    Returns:
        The last held-out loss.
    """
    accelerator = build_accelerator(params)
    output = Path(params.exp.run_dir) / layout.ADAPTER
    with held_output(output) if accelerator.is_main_process else nullcontext() as lock:
        saved = _train(params, accelerator, lock)
    accelerator.end_training()
    return float(saved.validations[-1]["val_loss"])


def _train(params: Settings, accelerator: "Accelerator", output: Lock | None) -> SavedState:
    set_deterministic(params.train.deterministic)
    from src.stages.training_checks import check_masks, check_settings
    from src.stages.training_setup import build_plan, build_run
    from src.trackers.multi import tracked
    from src.training.loop import train

    method, loss = build(params.method, "method"), build(params.loss, "loss")
    schedule = build(params.lr_schedule, "lr_schedule")
    plan = build_plan(params)
    plan.check(accelerator.num_processes)
    if accelerator.is_main_process:
        report_processes(accelerator.num_processes, accelerator.device.type, plan.batch_size)
    check_settings(params, method)
    stopping = None
    if params.early_stopping:
        from src.stages.early_stopping import build_early_stopping

        stopping = build_early_stopping(params, layout.DATA)
    dataset = load_dataset(layout.CROPS, layout.CAPTIONS, layout.SPLIT, params.subject.token, params.model.resolution)
    if main := accelerator.is_main_process:
        check_masks(dataset.train, params.train.background_weight)
    class_items = (
        load_class_images(layout.CLASS_IMAGES, params.prior.prompt, params.model.resolution)
        if wants_class_images(params)
        else []
    )
    length = build_length(params, schedule)
    state = state_folder(params, accelerator, stopping, length)
    with state.locked() if main else nullcontext():
        taken = main and take_over(state, length)
        accelerator.wait_for_everyone()
        saved = state.load()
        services = build_each(params.tracker, "tracker") if main else []
        # a run's own name: other parameters are another run, a resumed one goes on under its name
        run_name = f"{params.subject.token}-{params.model.name}-{state.path.name[:8]}-{length.name}"
        with tracked(services, run_name, 0 if taken else resumes_at(saved, plan.steps)) as tracker:
            tracker.config(without_places(plain(params)))
            if saved is None or saved.step < plan.steps:
                if taken and saved is not None:
                    report_rows(tracker, [*saved.losses, *saved.validations])
                parts, data = (method, loss, schedule), (dataset, class_items)
                saved = train(build_run(params, plan, accelerator, parts, data, state, tracker, stopping))
            else:
                report_finished(saved, tracker)
            tracker.artifact("adapter", state.checkpoint(saved.step))
        if output is not None:
            output.check()
            publish(params, state, saved)
    return saved


def main() -> None:
    """Runs the stage."""
    set_environment()
    Stage("train", train_stage, several=True).main()


if __name__ == "__main__":
    main()
