"""The few numbers that `dvc metrics diff` and `dvc exp show` print, under keys that name the model which measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from src.metrics.names import DIVERSITY, IDENTITY, KID, NEAREST, PART, PRES, PROMPT, SUBJECT, model_key
from src.metrics.scores import Metric, Score

# what decides is shown with its difference to the base model
DECISIVE = (SUBJECT, PROMPT, IDENTITY)
SHOWN = (*DECISIVE, DIVERSITY, PRES, NEAREST)


@dataclass(frozen=True)
class Model:
    """The model behind a metric.

    Attributes:
        key: The metric under a name that no other model shares.
        title: What texts call the model.
    """

    key: str
    title: str


def models_behind(metrics: Sequence[Metric], scores: Sequence[Sequence[Score]]) -> dict[str, Model]:
    """Says which model measured what.

    Args:
        metrics: The chosen metrics.
        scores: Of each; one metric may write several numbers.

    Returns:
        The model by the name under which `Score.metric` has its numbers; PART has none, it compares pixels.
    """
    found = {}
    for metric, rows in zip(metrics, scores, strict=True):
        names = {row.metric for row in rows} - {PART} | ({KID} if metric.name == PRES else set())
        for name in sorted(names):
            found[name] = Model(model_key(name, metric.judge.name), metric.judge.title)
    return found


def headline(details: Mapping[str, Any], models: Mapping[str, Model]) -> dict[str, float]:
    """Picks what a row of many runs has room for.

    Args:
        details: From `summarise`.
        models: From `models_behind`.

    Returns:
        ``selected_step``, and of the run `SHOWN` as far as it was measured, each under its model's key;
        with ``_gain`` the difference to base of what decides.
    """
    run, against_base = details["run"], details["against_base"]
    found: dict[str, float] = {"selected_step": details["selected_step"]}
    for name in SHOWN:
        if name in run:
            found[models[name].key] = run[name]
        if name in DECISIVE and name in against_base:
            found[f"{models[name].key}_gain"] = against_base[name]["mean"]
    return found


def describe_models(models: Mapping[str, Model]) -> dict[str, dict[str, str]]:
    """Returns keys and titles as metrics_meta.json holds them."""
    return {name: asdict(model) for name, model in models.items()}
