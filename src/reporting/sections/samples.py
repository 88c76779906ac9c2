"""The pictures: a grid of base against run per prompt, the photos above it, the best and the worst images."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import pandas as pd

from src.core import layout
from src.core.settings import Settings
from src.metrics.names import PROMPT, SUBJECT, TEST
from src.reporting.inputs import Inputs, existing_image
from src.reporting.pictures import SMALL_PX, Picture, by_seed, encode_all, manifest_pictures, thumbnail
from src.reporting.scoring import image_scores
from src.reporting.templating import Section
from src.reporting.texts import Texts

SHOWN_PROMPTS = 9
SHOWN_SEEDS = 4
SHOWN_PHOTOS = 12
# at each end: a mean says nothing about how bad the bad images are
SHOWN_EXTREMES = 5


@dataclass(frozen=True)
class PromptRow:
    """A row of the grid: the same seeds drawn by both models, in the same order.

    Attributes:
        prompt_id: Its name.
        prompt: What was asked for.
        group: The prompt's group.
        base: The base model's images.
        run: The selected checkpoint's.
    """

    prompt_id: str
    prompt: str
    group: str
    base: tuple[Picture, ...]
    run: tuple[Picture, ...]


@dataclass(frozen=True)
class PhotoStrip:
    """Some photos of one side of the split, and how many are not shown."""

    pictures: tuple[Picture, ...]
    hidden: int


def section(inputs: Inputs, _params: Settings, texts: Texts) -> Section:
    """Builds the section."""
    return Section(
        {
            "rows": sample_rows(inputs, texts),
            "shown_prompts": SHOWN_PROMPTS,
            "held_out": photo_strip(inputs, "val"),
            "training": photo_strip(inputs, "train"),
            "extremes": extreme_samples(inputs),
        }
    )


def sample_rows(inputs: Inputs, texts: Texts) -> tuple[PromptRow, ...]:
    """Builds a row per test prompt, in the manifest's order, seeds from the lowest up.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        The rows; empty when the selected checkpoint has no test samples.
    """
    pairs = [pair for pair in _test_pairs(inputs) if pair[0]]
    label = partial(_seed_label, texts)
    pictures = manifest_pictures(inputs, [row for base, run in pairs for row in base + run], label)
    return tuple(
        PromptRow(
            prompt_id=str(run[0]["prompt_id"]),
            prompt=str(run[0]["prompt"]),
            group=str(run[0]["group"]),
            base=tuple(islice(pictures, len(base))),
            run=tuple(islice(pictures, len(run))),
        )
        for base, run in pairs
    )


def photo_strip(inputs: Inputs, side: str) -> PhotoStrip:
    """Shows the first photos of one side of the split.

    Args:
        inputs: The tables.
        side: ``train`` or ``val``.

    Returns:
        At most SHOWN_PHOTOS crops.
    """
    names = list(inputs.split.loc[inputs.split["split"] == side, "image_id"])
    shown = names[:SHOWN_PHOTOS]
    paths = [existing_image(inputs.root, layout.CROPS / f"{name}.png", "crop") for name in shown]
    sources = encode_all(lambda path: thumbnail(path, SMALL_PX), paths)
    pictures = [Picture(src=src, alt=name, label="") for src, name in zip(sources, shown, strict=True)]
    return PhotoStrip(tuple(pictures), len(names) - len(shown))


def _test_pairs(inputs: Inputs) -> Iterator[tuple[list[pd.Series], list[pd.Series]]]:
    test = inputs.manifest[inputs.manifest["set"] == "test"]
    run, base = (test[test["variant"] == variant] for variant in (inputs.run_variant, "base"))
    for prompt_id in dict.fromkeys(run["prompt_id"]):
        of_run, of_base = (by_seed(rows[rows["prompt_id"] == prompt_id]) for rows in (run, base))
        seeds = [seed for seed in of_run if seed in of_base][:SHOWN_SEEDS]
        yield [of_base[seed] for seed in seeds], [of_run[seed] for seed in seeds]


def _seed_label(texts: Texts, row: pd.Series) -> str:
    return f"{texts('samples.seed')} {row['seed']}"


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
            shown = [*order[:SHOWN_EXTREMES], *order[::-1][:SHOWN_EXTREMES]]
            pictures = tuple(
                manifest_pictures(
                    inputs, [manifest.iloc[n] for n in shown], lambda row: f"{row['prompt_id']} · {row['seed']}"
                )
            )
            ends = len(order[:SHOWN_EXTREMES])
            found.append(Extremes(label(metric), pictures[:ends], pictures[ends:]))
    return tuple(found)
