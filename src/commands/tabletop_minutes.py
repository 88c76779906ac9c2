"""Trains an embedded model for some minutes of a GPU: `bash tabletop/gpu.sh`, which renders its pictures meanwhile.

Training begins as soon as a few pictures are there and takes in more as they come. After every round, about a minute,
the averaged weights in half precision are put into pieces that are small enough to be carried away; the next run
begins with them. Reads what the configuration names, writes exp.run_dir and the pieces.
"""

import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from src.commands.usage import command_line
from src.core import layout
from src.core.building import build
from src.core.config_errors import one_line
from src.core.device import choose_device, choose_precision, describe_device
from src.core.errors import EmptyDatasetError, PipelineError
from src.core.files import replaced_folder, sha256_bytes, write_bytes, write_text
from src.core.pretraining_config import load_pretraining_config
from src.core.pretraining_settings import PretrainSettings
from src.models.half import copy_in_half
from src.stages.pretraining import plain_attention
from src.tabletop.world import IMAGES
from src.training.curves import write_curve
from src.training.determinism import set_deterministic, set_environment
from src.training.state import Row, StateFolder

# how many times as many pictures there have to be before they are loaded anew
GROWN = 1.5
PIECE, PIECE_BYTES, SUM = "piece-{:02d}.part", 15 * 2**20, "sha256.txt"
WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Clock:
    """When to stop.

    Attributes:
        began: By `time.monotonic`.
        minutes: From then on.
        round_seconds: Between two checkpoints.
        rounds: At most so many, whatever the minutes; None for any number.
    """

    began: float
    minutes: float
    round_seconds: float
    rounds: int | None

    @property
    def end(self) -> float:
        """When all is over."""
        return self.began + 60 * self.minutes

    def round_end(self) -> float:
        """When the round that begins now is over."""
        return min(time.monotonic() + self.round_seconds, self.end)


class Pace:
    """Measures how fast updates go; those before the first row of the loss curve compile and warm up, and say nothing.

    The pace is that of the last round that was long enough for two rows; there is none before.
    """

    def __init__(self) -> None:
        self.updates_per_s: float | None = None
        self._rows: list[tuple[int, float]] = []

    def log(self, row: Row) -> None:
        """Takes a row of a curve when it is made."""
        if "loss" in row:
            self._rows.append((int(row["step"]), time.monotonic()))

    def end_round(self) -> None:
        """Takes what the round showed."""
        if len(self._rows) > 1:
            (first, began), (last, ended) = self._rows[0], self._rows[-1]
            self.updates_per_s = (last - first) / (ended - began)
        self._rows.clear()

    def steps(self, done: int, planned: int, left_s: float) -> int:
        """Returns how many updates there will be in all; as planned, or more, where the pace is not known yet."""
        if self.updates_per_s is None:
            return max(planned, 2 * done)
        return done + max(1, int(left_s * self.updates_per_s))


def pack(model: Path, out: Path) -> int:
    """Puts a folder into pieces PIECE of at most PIECE_BYTES, which take the place of earlier ones together.

    Args:
        model: A folder.
        out: Gets the pieces.

    Returns:
        Their bytes.
    """
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for file in sorted(path for path in model.rglob("*") if path.is_file()):
            archive.add(file, str(file.relative_to(model)))
    content = stream.getvalue()
    pieces = [content[first : first + PIECE_BYTES] for first in range(0, len(content), PIECE_BYTES)]
    with replaced_folder(out) as folder:
        for number, piece in enumerate(pieces):
            write_bytes(folder / PIECE.format(number), piece)
        write_text(folder / SUM, sha256_bytes(content))
    return len(content)


def unpack(pieces: Path, model: Path) -> bool:
    """Puts pieces together again.

    Args:
        pieces: A folder with what `pack` wrote, or with nothing.
        model: The folder to write.

    Returns:
        Whether there were any.

    Raises:
        PipelineError: One is missing, or is of another time than the others.
    """
    found = sorted(pieces.glob("piece-*.part"))
    if not found:
        return False
    content = b"".join(file.read_bytes() for file in found)
    if not (pieces / SUM).is_file() or (pieces / SUM).read_text() != sha256_bytes(content):
        raise PipelineError(f"{pieces}: the pieces are not the whole that {SUM} names")
    with replaced_folder(model) as folder, tarfile.open(fileobj=BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")
    return True


def train_by_clock(params: PretrainSettings, clock: Clock, pieces: Path) -> float:
    """Trains until the clock says stop.

    The schedule's length follows the pace: after each round, `train.steps` becomes what the clock leaves time for.

    Args:
        params: The resolved parameters.
        clock: When to stop.
        pieces: Gets the weights, after each round.

    Returns:
        The share of the clock's time that went into updates and evaluations.

    Raises:
        PipelineError: No picture was rendered in time, or there is none left.
    """
    set_deterministic(params.train.deterministic)
    from src.pretraining.engine import Given, Watch, train_from_noise
    from src.pretraining.plan import Plan

    device = choose_device(params.device)
    params.train.mixed_precision = choose_precision(params.train.mixed_precision, device)
    train = {name: value for name, value in vars(params.train).items() if name != "deterministic"}
    never = 10**9
    plan = Plan(**{**train, "save_every": never, "eval_every": never})
    schedule = build(params.lr_schedule, "lr_schedule")
    run_dir, size, seconds, task, rounds, pace = Path(params.exp.run_dir), 0, 0.0, None, 0, Pace()
    state = StateFolder(run_dir / "state")
    with state.locked(), plain_attention(device.type):
        while time.monotonic() < clock.end and rounds != clock.rounds:
            found = count_pictures(params, clock)
            if task is None or found >= GROWN * size:
                sets = build(params.train_data, "train_data").load(), build(params.val_data, "val_data").load()
                task = build(params.task, "task", _partial_=True)(Given(*sets, plan, params.seed, device))
                size = found
                print(f"{found} pictures after {time.monotonic() - clock.began:z.0f} s", flush=True)
                _go_on(params)
            started = time.monotonic()
            curves = train_from_noise(
                task, plan, schedule, params.seed, state, Watch("", pace.log, until=clock.round_end())
            )
            done = int(curves.losses[-1]["step"])
            rounds, seconds = rounds + 1, seconds + time.monotonic() - started
            pace.end_round()
            task.plan = plan = replace(plan, steps=pace.steps(done, plan.steps, clock.end - time.monotonic()))
            size_mb = _keep(task, run_dir, pieces, curves) / 1e6
            print(f"step {done}: {curves.losses[-1]}, {curves.evaluations[-1]}; {size_mb:z.1f} MB", flush=True)
    if not rounds:
        raise PipelineError(f"{clock.minutes:g} minutes: none of them is left to train in")
    share = seconds / (time.monotonic() - clock.began)
    print(f"{done} updates, {done * plan.batch_size} samples on {describe_device(device)}; training {share:.0%}")
    return share


def count_pictures(params: PretrainSettings, clock: Clock) -> int:
    """Waits for the first pictures, and says how many there are to learn from.

    Args:
        params: The parameters; names the folders.
        clock: When to stop waiting.

    Returns:
        The number.

    Raises:
        PipelineError: There were none in time.
    """
    folders = params.train_data.get("folders") or [params.train_data["folder"]]
    files = [Path(folder) / IMAGES for folder in folders]
    wait_for([*files, Path(params.val_data["folder"]) / IMAGES], clock)
    return sum(len(np.load(file, mmap_mode="r")) for file in files)


def wait_for(needed: Sequence[Path], clock: Clock) -> None:
    """Waits until files are there that other processes write.

    Args:
        needed: The files.
        clock: When to stop waiting.

    Raises:
        EmptyDatasetError: They were not there in time.
    """
    while missing := ", ".join(str(file) for file in needed if not file.is_file()):
        if time.monotonic() > clock.end:
            raise EmptyDatasetError(f"{missing}: not there after {clock.minutes:g} minutes")
        time.sleep(WAIT_SECONDS)


def _go_on(params: PretrainSettings) -> None:
    """The first task began from `start` and is warmed up; a later one gets its weights from the state."""
    for key, value in (("start", None), ("warm_up", None)):
        if key in params.task:
            params.task[key] = value


def _keep(task: Any, run_dir: Path, pieces: Path, curves: Any) -> int:
    with TemporaryDirectory() as whole, replaced_folder(run_dir / layout.RUN_MODEL) as model:
        task.save(Path(whole))
        copy_in_half(Path(whole), model)
        write_curve(model / layout.RUN_LOSS, curves.losses)
        write_curve(model / layout.RUN_EVALUATION, curves.evaluations)
    return pack(run_dir / layout.RUN_MODEL, pieces)


@one_line("tabletop_minutes")
def main(words: Sequence[str] | None = None) -> None:
    """Trains until the minutes are over."""
    began = time.monotonic()
    parser = command_line("tabletop_minutes", __doc__)
    parser.add_argument("overrides", nargs="+", help="exp.config_path=FILE and others, as for train.py")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--round-seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, help="at most so many")
    parser.add_argument("--after", type=Path, action="append", default=[], help="a file to wait for; may be repeated")
    parser.add_argument("--carried", type=Path, required=True, help="pieces of an earlier run, or nothing")
    parser.add_argument("--pieces", type=Path, required=True, help="gets this run's")
    wanted = parser.parse_intermixed_args(words)
    set_environment()
    clock = Clock(began, wanted.minutes, wanted.round_seconds, wanted.rounds)
    params = load_pretraining_config("minutes", wanted.overrides)
    start = Path(params.exp.run_dir) / "start"
    if unpack(wanted.carried, start):
        params.task["start"] = str(start)
    import src.pretraining.engine  # noqa: F401  its seconds of loading pass while others work

    wait_for(wanted.after, clock)
    train_by_clock(params, clock, wanted.pieces)


if __name__ == "__main__":
    main()
