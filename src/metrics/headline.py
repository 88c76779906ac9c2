"""The few numbers that `dvc metrics diff` and `dvc exp show` print, under keys that name the model which measured."""

from collections.abc import Mapping
from typing import Any

from src.metrics.names import DIVERSITY, IDENTITY, NEAREST, PRES, PROMPT, SUBJECT
from src.metrics.quantities import Quantity

# what decides is shown with its difference to the base model
DECISIVE = (SUBJECT, PROMPT, IDENTITY)
SHOWN = (*DECISIVE, DIVERSITY, PRES, NEAREST)


def headline(details: Mapping[str, Any], quantities: Mapping[str, Quantity]) -> dict[str, float]:
    """Picks what a row of many runs has room for.

    Args:
        details: From `summarise`.
        quantities: By name.

    Returns:
        ``selected_step``, and of the run `SHOWN` as far as it was measured, each under its model's key;
        with ``_gain`` the difference to base of what decides.
    """
    run, against_base = details["run"], details["against_base"]
    found: dict[str, float] = {"selected_step": details["selected_step"]}
    for name in SHOWN:
        if name in run:
            found[quantities[name].key] = run[name]
        if name in DECISIVE and name in against_base:
            found[f"{quantities[name].key}_gain"] = against_base[name]["mean"]
    return found
