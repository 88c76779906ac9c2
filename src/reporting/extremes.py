"""The best and the worst images: a mean says nothing about how bad the bad ones are."""

from dataclasses import dataclass

from src.metrics.names import PROMPT, SUBJECT, TEST
from src.reporting.inputs import Inputs
from src.reporting.samples import Picture, manifest_pictures
from src.reporting.scoring import image_scores

SHOWN = 5


@dataclass(frozen=True)
class Extremes:
    """The ends of one metric's range: test images of the selected checkpoint, the highest and the lowest first."""

    metric: str
    best: tuple[Picture, ...]
    worst: tuple[Picture, ...]


def extreme_samples(inputs: Inputs) -> tuple[Extremes, ...]:
    """Finds the ends of both primary metrics.

    Args:
        inputs: The tables.

    Returns:
        One for each metric that was computed; ties in the manifest's order.
    """
    manifest = inputs.manifest[(inputs.manifest["set"] == TEST) & (inputs.manifest["variant"] == inputs.run_variant)]
    scores = image_scores(inputs.scores)
    keys = list(manifest[["variant", "prompt_id", "seed"]].itertuples(index=False, name=None))
    found: list[Extremes] = []
    label = inputs.quantities.label
    for metric in (SUBJECT, PROMPT):
        scored = [number for number, key in enumerate(keys) if metric in scores.get(key, {})]
        order = sorted(scored, key=lambda number: -scores[keys[number]][metric])
        if order:
            shown = [*order[:SHOWN], *order[::-1][:SHOWN]]
            pictures = tuple(
                manifest_pictures(
                    inputs, [manifest.iloc[n] for n in shown], lambda row: f"{row['prompt_id']} · {row['seed']}"
                )
            )
            ends = len(order[:SHOWN])
            found.append(Extremes(label(metric), pictures[:ends], pictures[ends:]))
    return tuple(found)
