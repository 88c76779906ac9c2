"""Pictures of the runs side by side: the same prompts and seeds, by each chosen checkpoint and by the base."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from src.comparison.runs import EvaluatedRun
from src.core import layout
from src.core.errors import MetricError
from src.core.sets import TEST
from src.metrics.names import BASE, PROMPT, SUBJECT
from src.reporting.pictures import SMALL_PX, Picture, thumbnail
from src.reporting.scoring import image_scores

COLUMNS = {"variant", "prompt_id", "set", "prompt", "seed", "path"}
SHOWN_PROMPTS = 4
# reads a file of a run; raises MetricError where the run has none
Reader = Callable[[str, str], bytes]


@dataclass(frozen=True)
class PromptPictures:
    """One prompt and seed.

    Attributes:
        prompt: What was asked for.
        pictures: The base model's, then each run's that has one.
    """

    prompt: str
    pictures: tuple[Picture, ...]


def sample_grid(runs: Sequence[EvaluatedRun], read: Reader) -> tuple[PromptPictures, ...]:
    """Shows some test prompts, one of each group first, at their lowest seed.

    Args:
        runs: Generated with the same prompts and seeds; the base pictures are the first's.
        read: Reads a file of a run.

    Returns:
        A row for each prompt; nothing where the first run's pictures are not there.
    """
    manifests = {run.name: _manifest(run, read) for run in runs}
    first = manifests[runs[0].name]
    if first is None:
        return ()
    asked = first[(first["set"] == TEST) & (first["variant"] == runs[0].meta["selected"])]
    asked = asked[asked["seed"] == asked["seed"].min()]
    order = [*asked.drop_duplicates("group").index, *asked[asked.duplicated("group")].index]
    rows = []
    for _, row in asked.loc[order[:SHOWN_PROMPTS]].iterrows():
        sources = [(runs[0], BASE, BASE), *((run, str(run.meta["selected"]), run.name) for run in runs)]
        found = [_picture(run, variant, label, row, manifests[run.name], read) for run, variant, label in sources]
        rows.append(PromptPictures(str(row["prompt"]), tuple(picture for picture in found if picture is not None)))
    return tuple(rows)


def _manifest(run: EvaluatedRun, read: Reader) -> pd.DataFrame | None:
    try:
        table = pd.read_csv(io.BytesIO(read(run.name, str(layout.MANIFEST))), dtype={"prompt_id": str})
    except MetricError:
        return None
    return table if {*COLUMNS, "group"} <= set(table.columns) else None


def _picture(
    run: EvaluatedRun, variant: str, label: str, row: pd.Series, manifest: pd.DataFrame | None, read: Reader
) -> Picture | None:
    if manifest is None:
        return None
    same = (manifest["prompt_id"] == row["prompt_id"]) & (manifest["seed"] == row["seed"])
    files = manifest[same & (manifest["variant"] == variant)]
    if files.empty:
        return None
    try:
        content = read(run.name, str(layout.SAMPLES / files["path"].iloc[0]))
    except MetricError:
        return None
    scores = image_scores(run.scores).get((variant, str(row["prompt_id"]), row["seed"]), {})
    shown = tuple((run.quantities.label(m), f"{scores[m]:z.2f}") for m in (SUBJECT, PROMPT) if m in scores)
    return Picture(thumbnail(io.BytesIO(content), SMALL_PX), f"{label}: {row['prompt']}", label, shown)
