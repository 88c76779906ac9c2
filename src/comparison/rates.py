"""A learning rate for each method: a small search by the dev prompts, the same for all."""

from collections.abc import Mapping
from dataclasses import dataclass

from src.comparison.runs import EvaluatedRun
from src.comparison.selection import SelectionRule
from src.core.errors import MetricError
from src.core.sets import DEV
from src.metrics.names import BASE, PROMPT, SUBJECT
from src.metrics.summary import mean_scores, rounded

# between neighbouring rates
RATIO = 3.0
# trainings of a search at most: three, then beyond the edge as long as the best one lies there
MAX_RATES = 6


@dataclass(frozen=True)
class Tried:
    """A rate that was tried.

    Attributes:
        rate: Its value.
        dev: SUBJECT and PROMPT on the dev prompts; empty where the training ended in an error.
        base: PROMPT of the base model there.
    """

    rate: float
    dev: Mapping[str, float]
    base: float

    @classmethod
    def of(cls, rate: float, run: EvaluatedRun) -> "Tried":
        """Reads what came out.

        Args:
            rate: The rate.
            run: The training.

        Returns:
            Its means on the dev prompts.

        Raises:
            MetricError: A primary metric was not measured there.
        """
        dev = mean_scores(run.scores, run.meta["selected"], DEV)
        base = mean_scores(run.scores, BASE, DEV)
        if missing := [name for name in (SUBJECT, PROMPT) if name not in dev or name not in base]:
            raise MetricError(f"{run.name}: no {', '.join(missing)} on the dev prompts, by which a rate is chosen")
        return cls(rate, {name: dev[name] for name in (SUBJECT, PROMPT)}, base[PROMPT])

    @classmethod
    def failed(cls, rate: float) -> "Tried":
        """Returns a rate whose training ended in an error."""
        return cls(rate, {}, 0.0)


def choose_rate(tried: Mapping[float, Tried], rule: SelectionRule) -> float:
    """Chooses as among checkpoints: the highest SUBJECT that keeps PROMPT.

    Args:
        tried: By rate.
        rule: Of the checkpoints.

    Returns:
        The rate; the lowest of equals.

    Raises:
        MetricError: No training came to an end.
    """
    whole = {rate: tried[rate] for rate in sorted(tried) if tried[rate].dev}
    if not whole:
        raise MetricError(
            f"no training came to an end, with rates of {', '.join(f'{rate:g}' for rate in sorted(tried))}"
        )
    means = {f"{rate:g}": one.dev for rate, one in whole.items()}
    floors = {f"{rate:g}": rounded(one.base - rule.clip_t_margin) for rate, one in whole.items()}
    chosen, _ = rule.choose(means, floors)
    return next(rate for rate in whole if f"{rate:g}" == chosen)


def next_rates(middle: float, tried: Mapping[float, Tried], rule: SelectionRule) -> list[float]:
    """Says which rates to try next.

    Args:
        middle: What configs/ say.
        tried: What was tried, by rate.
        rule: Of the checkpoints.

    Returns:
        At first a third of it, itself and three times it; then, while the best one is the lowest or the highest and
        MAX_RATES are not tried, the next one beyond; nothing where the search is over.
    """
    if not tried:
        return [shortened(middle / RATIO), middle, shortened(middle * RATIO)]
    if len(tried) >= MAX_RATES or not any(one.dev for one in tried.values()):
        return []
    best = choose_rate(tried, rule)
    if best == min(tried):
        return [shortened(best / RATIO)]
    if best == max(tried):
        return [shortened(best * RATIO)]
    return []


def lies_at_edge(rate: float, tried: Mapping[float, Tried]) -> bool:
    """Tells whether no lower, or no higher rate was tried, so that a better one may lie beyond."""
    return bool(tried) and rate in (min(tried), max(tried))


def shortened(rate: float) -> float:
    """Returns a rate with two digits, as a person would write it."""
    return float(f"{rate:.2g}")
