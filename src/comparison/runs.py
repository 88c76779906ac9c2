"""A finished run as evaluate left it: its scores, and the settings that a comparison with others needs."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from src.core import layout
from src.core.errors import MetricError
from src.metrics.quantities import Quantities
from src.metrics.summary import COLUMNS

SCORES, META, PARAMS = FILES = tuple(path.as_posix() for path in (layout.SCORES, layout.META, layout.PARAMS))
TYPES = {"prompt_id": str, "seed": int, "value": float, "reason": str}


@dataclass(frozen=True)
class EvaluatedRun:
    """What evaluate wrote about a run.

    Attributes:
        name: Revision, experiment or folder.
        scores: scores.csv.
        meta: metrics_meta.json.
        params: params.yaml.
    """

    name: str
    scores: pd.DataFrame
    meta: Mapping[str, Any]
    params: Mapping[str, Any]

    @property
    def quantities(self) -> Quantities:
        """What its numbers mean."""
        return Quantities.of(self.meta)


def parse_run(name: str, contents: Mapping[str, bytes]) -> EvaluatedRun:
    """Reads a run from the content of its files.

    Args:
        name: What messages call it.
        contents: By each of FILES.

    Returns:
        The run.

    Raises:
        MetricError: A file is cut off or is something else.
    """
    parsers: Mapping[str, Callable[[bytes], Any]] = {SCORES: _scores, META: _meta, PARAMS: _params}
    found: dict[str, Any] = {}
    for file, parse in parsers.items():
        try:
            found[file] = parse(contents[file])
        except (ValueError, yaml.YAMLError) as error:  # pandas, json and UTF-8 raise ValueErrors
            message = " ".join(str(error).split())
            raise MetricError(f"{name}: {file} is damaged, run evaluate again: {message}") from error
    return EvaluatedRun(name, found[SCORES], found[META], found[PARAMS])


def setting(run: EvaluatedRun, *keys: str) -> Any:
    """Returns a value of a run's params.yaml.

    Args:
        run: The run.
        *keys: The path to it.

    Returns:
        The value.

    Raises:
        MetricError: There is none.
    """
    value: Any = run.params
    for key in keys:
        if not isinstance(value, Mapping) or value.get(key) is None:
            raise MetricError(f"{run.name}: its params.yaml has no {'.'.join(keys)}; repeat the run with this version")
        value = value[key]
    return value


def _scores(content: bytes) -> pd.DataFrame:
    if not content.endswith(b"\n"):
        raise ValueError("its last line has no end")
    table = pd.read_csv(io.BytesIO(content), dtype=TYPES)
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise ValueError(f"no column {', '.join(missing)}")
    return table


def _meta(content: bytes) -> Mapping[str, Any]:
    meta = json.loads(content)
    if not isinstance(meta, Mapping) or not {"selected", "quantities"} <= meta.keys():
        raise ValueError("no entries selected and quantities")
    return meta


def _params(content: bytes) -> Mapping[str, Any]:
    params = yaml.safe_load(content)
    if not isinstance(params, Mapping) or not params:
        raise ValueError("no keys")
    return params
