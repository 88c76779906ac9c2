"""The checkpoints: where each lies between likeness and prompt fidelity, and one prompt drawn by all of them."""

from dataclasses import dataclass

import pandas as pd

from src.core import layout
from src.core.settings import Settings
from src.metrics.names import NEAREST, SUBJECT
from src.reporting.charts import Spec, lines_chart
from src.reporting.inputs import Inputs
from src.reporting.metric_tables import MetricTable, metric_table, narrowed
from src.reporting.pictures import PICTURE_SCORES, Picture, by_seed, manifest_pictures
from src.reporting.scoring import development_means
from src.reporting.sections.metric_plane import metric_plane
from src.reporting.templating import Section
from src.reporting.texts import Texts

# here a third score stands under a picture, which shows when memorising begins
STRIP_SCORES = (*PICTURE_SCORES, NEAREST)


@dataclass(frozen=True)
class CheckpointStrip:
    """One prompt and seed, drawn by the base model and by each checkpoint.

    Attributes:
        prompt: What was asked for.
        seed: Which of its images.
        pictures: By rising step, the base model's first.
        paths: Where their files are, relative to data/samples.
    """

    prompt: str
    seed: str
    pictures: tuple[Picture, ...]
    paths: tuple[str, ...]


def section(inputs: Inputs, _params: Settings, texts: Texts) -> Section:
    """Builds the section."""
    plane = metric_plane(inputs)
    return Section(
        {
            "checkpoints": checkpoint_tables(inputs),
            "narrowed": narrowed,
            "plane": plane,
            "strip": checkpoint_strip(inputs),
        },
        {"scatter": None if plane is None else plane.spec, "memorising": memorising_chart(inputs, texts)},
    )


def checkpoint_strip(inputs: Inputs) -> CheckpointStrip | None:
    """Shows the first test prompt at its lowest seed, over the checkpoints.

    Args:
        inputs: The tables.

    Returns:
        The strip, or None when the selected checkpoint has no such sample.
    """
    manifest = inputs.manifest[inputs.manifest["set"] == "test"]
    run = manifest[manifest["variant"] == inputs.run_variant]
    if run.empty:
        return None
    first = run.iloc[0]
    head = next(iter(by_seed(run[run["prompt_id"] == first["prompt_id"]]).values()))
    same = manifest[(manifest["prompt_id"] == head["prompt_id"]) & (manifest["seed"] == head["seed"])]
    rows = [row for _, row in same.sort_values("variant", kind="stable").iterrows()]
    pictures = manifest_pictures(inputs, rows, lambda row: str(row["variant"]), STRIP_SCORES)
    paths = tuple(str(row["path"]) for row in rows)
    return CheckpointStrip(str(head["prompt"]), str(head["seed"]), tuple(pictures), paths)


def memorising_chart(inputs: Inputs, texts: Texts) -> Spec | None:
    """Draws likeness to training and to held-out photos over the checkpoints; the gap between them is memorising.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        A specification; None with a single checkpoint or without likeness to the subject.
    """
    rows = [
        {"step": layout.checkpoint_step(name), **means} for name, means in sorted(inputs.metrics["checkpoints"].items())
    ]
    if len(rows) < 2 or SUBJECT not in rows[0]:
        return None
    return lines_chart(pd.DataFrame(rows), {SUBJECT: "val", f"{SUBJECT}_train": "train"}, "subject", texts)


def checkpoint_tables(inputs: Inputs) -> dict[str, MetricTable]:
    """Builds the tables of checkpoints, the base model first.

    Args:
        inputs: The tables.

    Returns:
        By prompt set: ``dev``, on which the checkpoint is chosen, where there are such scores, and ``test``.
    """
    checkpoints = dict(sorted(inputs.metrics["checkpoints"].items()))
    rows = {"dev": development_means(inputs), "test": {"base": inputs.metrics["base"], **checkpoints}}
    return {
        prompt_set: metric_table(means, {}, inputs.quantities, selected=inputs.run_variant)
        for prompt_set, means in rows.items()
        if any(means.values())
    }
