"""The checkpoint that is reported, as the stage `choose` leaves it in metrics/choice.json for all that come after."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

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


def read_selection(path: Path, checkpoints: Mapping[str, str] | None = None) -> Selection:
    """Reads which checkpoint was chosen.

    Args:
        path: What `write_selection` wrote.
        checkpoints: The digests of those at hand, or None where they are not looked at.

    Returns:
        The choice.

    Raises:
        MetricError: There is no such file, it is damaged, or it was made for other checkpoints.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        chosen_of = found.pop("checkpoints")
        selection = Selection(**found)
    except FileNotFoundError as error:
        raise MetricError(f"{path}: no such file; it is made by `python -m src.stages.choose`") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MetricError(f"{path}: damaged; make it again by `python -m src.stages.choose`") from error
    if checkpoints is not None and chosen_of != checkpoints:
        raise MetricError(
            f"{path}: the choice was made of other checkpoints ({', '.join(chosen_of)}); make it again by "
            "`python -m src.stages.choose`"
        )
    return selection
