"""Which checkpoint to report: chosen on the dev prompts, by a rule fixed in advance."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from src.comparison.selected import Selection
from src.core.errors import ConfigError, MetricError
from src.core.sets import DEV
from src.metrics.names import BASE, PROMPT, SUBJECT
from src.metrics.summary import mean_scores, rounded


@dataclass(frozen=True)
class SelectionRule:
    """The highest SUBJECT among the checkpoints that keep PROMPT; where none does, both are weighed.

    Attributes:
        clip_t_margin: By how much PROMPT may lie below base's.
        exchange: The SUBJECT that a loss of one unit of PROMPT beyond that margin has to bring; only where no
            checkpoint keeps PROMPT.
    """

    clip_t_margin: float
    exchange: float

    @classmethod
    def of(cls, select_clip_t_margin: float, margins: Mapping[str, float]) -> "SelectionRule":
        """Makes the rule of what the section ``evaluate`` of the parameters says.

        Args:
            select_clip_t_margin: By how much PROMPT may lie below base's.
            margins: Differences of either metric that matter as little.

        Returns:
            The rule; its exchange is the ratio of the two margins.

        Raises:
            ConfigError: A margin is missing, or not above zero.
        """
        for name in (SUBJECT, PROMPT):
            if name not in margins or not margins[name] > 0:
                raise ConfigError(f"evaluate.margins.{name}: expected a number above 0, found {margins.get(name)}")
        return cls(select_clip_t_margin, margins[SUBJECT] / margins[PROMPT])

    def choose(self, means: Mapping[str, Mapping[str, float]], floors: Mapping[str, float]) -> tuple[str, int]:
        """Applies the rule.

        Args:
            means: Both metrics, by name; at least one.
            floors: Of PROMPT, by the same names.

        Returns:
            The choice, the first of equals, and how many keep their floor.
        """
        qualified = [name for name in means if means[name][PROMPT] >= floors[name]]
        if qualified:
            return max(qualified, key=lambda name: means[name][SUBJECT]), len(qualified)
        worth = {n: rounded(means[n][SUBJECT] - self.exchange * (floors[n] - means[n][PROMPT])) for n in means}
        return max(worth, key=lambda name: worth[name]), 0


def select_checkpoint(
    table: pd.DataFrame, steps: Mapping[str, int], rule: SelectionRule, metrics: Collection[str]
) -> Selection:
    """Chooses the checkpoint to report, on the dev prompts only. Ties go to the earlier step.

    Args:
        table: From `score_table`.
        steps: The step of each checkpoint variant.
        rule: The rule.
        metrics: Which of SUBJECT and PROMPT were chosen.

    Returns:
        The choice; without SUBJECT among the metrics the last checkpoint, without PROMPT the highest SUBJECT.

    Raises:
        MetricError: There are several checkpoints, but no dev prompts to choose on.
    """
    variants = sorted(steps, key=lambda variant: steps[variant])
    if SUBJECT not in metrics and len(variants) > 1:
        return Selection(variants[-1], "last")
    dev = {variant: mean_scores(table, variant, DEV) for variant in (BASE, *variants)}
    compared = {SUBJECT, PROMPT} <= set(dev[BASE])
    floor = rounded(dev[BASE][PROMPT] - rule.clip_t_margin) if compared else 0.0
    if len(variants) == 1:
        kept = not compared or dev[variants[0]][PROMPT] >= floor
        return Selection(variants[0], "only", missed="" if kept else _missed(dev, variants[0], floor))
    if not dev[BASE]:
        raise MetricError("there are several checkpoints, but no dev prompts to choose one on")
    if PROMPT not in metrics:
        best = max(variants, key=lambda variant: dev[variant][SUBJECT])
        return Selection(best, "highest")
    best, qualified = rule.choose({name: dev[name] for name in variants}, dict.fromkeys(variants, floor))
    figures = {"floor": floor, "margin": rule.clip_t_margin}
    if not qualified:
        return Selection(best, "none_within", figures | {"exchange": rule.exchange}, _missed(dev, best, floor))
    return Selection(best, "rule", figures | {"kept": qualified, "checkpoints": len(variants)})


def _missed(dev: Mapping[str, Mapping[str, float]], chosen: str, floor: float) -> str:
    """Says by how much the chosen checkpoint misses the bar, and what it has learnt for that."""
    prompt, subject = dev[chosen][PROMPT], dev[chosen][SUBJECT]
    return (
        f"no checkpoint follows the prompts as well as wanted: {chosen} has {PROMPT} {prompt:z.3f} on the dev prompts, "
        f"{floor - prompt:z.3f} below the bar of {floor:z.3f}; base {dev[BASE][PROMPT]:z.3f}; "
        f"{SUBJECT} {subject:z.3f}, base {dev[BASE][SUBJECT]:z.3f}"
    )
