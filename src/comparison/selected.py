"""The checkpoint that is reported, as the stage `choose` leaves it in metrics/choice.json for all that come after."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from src.core import layout
from src.core.errors import MetricError
from src.core.files import write_json
from src.metrics.names import PROMPT, SUBJECT

# why a checkpoint was chosen, in words for a terminal; the report has its own
REASONS = {
    "only": "the only checkpoint",
    "last": f"the last checkpoint: {SUBJECT} is not among the chosen metrics",
    "highest": f"the highest {SUBJECT} on the dev prompts; {PROMPT} is not among the chosen metrics",
    "rule": f"the highest {SUBJECT} on the dev prompts among the {{kept}} of {{checkpoints}} checkpoints with "
    f"{PROMPT} >= {{floor}} (base - {{margin}})",
    "none_within": f"NO checkpoint keeps {PROMPT} >= {{floor}} (base - {{margin}}) on the dev prompts: the highest "
    f"{SUBJECT} less {{exchange:g}} times what {PROMPT} lacks",
}


@dataclass(frozen=True)
class Selection:
    """The chosen checkpoint.

    Attributes:
        variant: Its name.
        reason: Why it was chosen, a key of REASONS.
        figures: Of the reason, by name.
        missed: What no checkpoint reached, for people to read; empty where the rule was kept.
    """

    variant: str
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)
    missed: str = ""

    def sentence(self) -> str:
        """Says why, in English."""
        return REASONS[self.reason].format(**self.figures)


def write_selection(path: Path, selection: Selection, checkpoints: Mapping[str, str]) -> None:
    """Writes which checkpoint was chosen, and of which.

    Args:
        path: The file.
        selection: The choice.
        checkpoints: The digest of each checkpoint's files, by name.
    """
    write_json(path, {**asdict(selection), "checkpoints": dict(checkpoints)})


def read_selection(path: Path, checkpoints: Mapping[str, str]) -> Selection:
    """Reads which checkpoint was chosen.

    Args:
        path: What `write_selection` wrote, in metrics/ of a run.
        checkpoints: The digests of those that are at hand, by name.

    Returns:
        The choice.

    Raises:
        MetricError: There is no such file, it is damaged, or it was made of other checkpoints.
    """
    again = f"`python -m src.stages.choose exp.run_dir={path.parent.parent}` (or `dvc repro`)"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        chosen_of = dict(found.pop("checkpoints"))
        selection = Selection(**found)
        sound = selection.variant in chosen_of and selection.reason in REASONS and bool(selection.sentence())
    except FileNotFoundError as error:
        raise MetricError(f"{path}: no such file; it is made by {again}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MetricError(f"{path}: damaged; make it again by {again}") from error
    if not sound:
        raise MetricError(f"{path}: damaged; make it again by {again}")
    if chosen_of != checkpoints:
        raise MetricError(
            f"{path}: the choice was made of other checkpoints than {', '.join(checkpoints)}; make it again by "
            f"{again}, with the same inferencer.ckpt_dir"
        )
    return selection


def find_selection(runs: Sequence[Path], checkpoints: Mapping[str, str]) -> Selection:
    """Reads the choice of the first run that has one of these checkpoints.

    Args:
        runs: Folders; at least one.
        checkpoints: As of `read_selection`.

    Returns:
        The choice.

    Raises:
        MetricError: No run has one; the message is of the first.
    """
    errors = []
    for run in runs:
        try:
            return read_selection(run / layout.CHOICE, checkpoints)
        except MetricError as error:
            errors.append(error)
    raise errors[0]
