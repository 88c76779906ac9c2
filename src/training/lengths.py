"""Runs of one training that differ in length and intervals alone go on where another one ended, to the same bytes.

The weights after an update do not depend on when somebody looks, and on how many updates follow only where something
looks ahead. What a run leaves, checkpoints and rows of curves, depends on its intervals: a state is of use to another
run if all that this one has to leave up to there is there.
"""

import glob
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from src.core.files import replaced_folder
from src.training.state import SavedState, StateFolder


@dataclass(frozen=True)
class Length:
    """How long a run is, and after which updates it leaves something; after the last one it always does.

    Attributes:
        steps: Updates.
        checkpoint_every: Updates between kept checkpoints; None where only the last weights are kept.
        look_every: Updates between validations.
        ahead: What may look ahead, of an update's number (from 0) and of how many there are: the factor on the rate.
        log_every: Updates that a row of the loss curve averages.
        measured: Names what validations measure; rows of other measures are dropped.
    """

    steps: int
    checkpoint_every: int | None
    look_every: int
    ahead: Callable[[int, int], float]
    log_every: int = 1
    measured: str = ""

    @property
    def name(self) -> str:
        """Length and intervals, such as ``500-100-25``: the end of the name of a run's folder."""
        return "-".join(str(number) for number in (self.steps, self.checkpoint_every, self.look_every) if number)

    def checkpoints(self, last: int) -> list[int]:
        """Returns the updates up to `last` after which a checkpoint is kept."""
        return [] if self.checkpoint_every is None else self._marks(self.checkpoint_every, last)

    def own_rows(self, saved: SavedState, last: int) -> SavedState:
        """Leaves out the rows that this run does not write: those after `last`, and validations between its own."""
        looks = {0, *self._marks(self.look_every, last)} if self._same_measures(saved) else set()
        return replace(
            saved,
            losses=[row for row in saved.losses if row["step"] <= last],
            validations=[row for row in saved.validations if row["step"] in looks],
        )

    def misfit(self, saved: SavedState, folder: StateFolder) -> str | None:
        """Says why this run cannot begin with what one of another length or other intervals left.

        Args:
            saved: Its state.
            folder: Its checkpoints.

        Returns:
            A part of a sentence; None where it can.
        """
        planned, last = int(saved.scalars["steps"]), min(saved.step, self.steps)
        if any(self.ahead(step, planned) != self.ahead(step, self.steps) for step in range(last)):
            return f"those are of {planned}, and a schedule here looks ahead to the last one"
        if saved.step < self.steps and not saved.tensors:
            return "only their checkpoints are there"
        if saved.step > self.steps and self.checkpoint_every is None:
            return f"the weights after update {self.steps} were not kept"
        if last < self.steps and last % self.log_every:
            return f"they end within a row of the loss curve, of {self.log_every} updates"
        if missing := [step for step in self.checkpoints(last) if not folder.checkpoint(step).is_dir()]:
            return f"no checkpoint was kept after update {missing[0]}"
        looks, since = {row["step"] for row in saved.validations}, int(saved.scalars.get("since", 0))
        missing = [step for step in self._marks(self.look_every, last) if step > since and step not in looks]
        if missing and self._same_measures(saved):
            return f"nothing was validated after update {missing[0]}"
        return None

    def _marks(self, every: int, last: int) -> list[int]:
        return [*range(every, last + 1, every), *([last] if last == self.steps and last % every else [])]

    def _same_measures(self, saved: SavedState) -> bool:
        return saved.scalars.get("measured", "") == self.measured


def take_over(state: StateFolder, length: Length) -> bool:
    """Begins a run with the furthest that the same training has left, at whatever length and intervals.

    Args:
        state: The run's folder, locked; its name ends with that of the length.
        length: How long it is.

    Returns:
        Whether there was something; a line says so, or why what there is cannot be taken.
    """
    own = state.load()
    done = 0 if own is None else own.step
    training = state.path.name.removesuffix(length.name)
    found: list[tuple[int, StateFolder]] = []
    refused: list[tuple[int, str]] = []
    for path in sorted(set(state.path.parent.glob(f"{glob.escape(training)}*")) - {state.path}):
        saved = StateFolder(path).load(own=False)
        if saved is not None:
            reason = length.misfit(saved, StateFolder(path))
            if reason is None:
                found.append((min(saved.step, length.steps), StateFolder(path)))
            else:
                refused.append((saved.step, f"{path} has {saved.step} updates, but {reason}"))
    furthest, other = max(found, key=lambda entry: entry[0], default=(0, state))
    if furthest > done:
        _take(state, length, other)
        return True
    if not done and refused:
        print(f"begins anew: {max(refused)[1]}", flush=True)
    return False


def _take(state: StateFolder, length: Length, other: StateFolder) -> None:
    saved = other.load(own=False)
    assert saved is not None, other.path
    last = min(saved.step, length.steps)
    for step in length.checkpoints(last):
        with replaced_folder(state.checkpoint(step)) as folder:
            shutil.copytree(other.checkpoint(step), folder, dirs_exist_ok=True)
        state.seal(step)
    # weights and moments of later updates are no state of this run, whose checkpoints are all that it needs
    tensors = saved.tensors if last == saved.step else {}
    kept = replace(saved, step=last, tensors=tensors, scalars={**saved.scalars, "steps": length.steps})
    state.save(length.own_rows(kept, last))
    print(f"takes the first {last} of {length.steps} updates from {other.path}", flush=True)
