"""The pictures: a grid of base against run per prompt, the photos above it, one prompt over the checkpoints."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import pandas as pd

from src.core import layout
from src.metrics.names import NEAREST, PROMPT, SUBJECT
from src.reporting.inputs import Inputs, existing_image
from src.reporting.scoring import image_scores
from src.reporting.texts import Texts
from src.reporting.thumbnails import LARGE_PX, SMALL_PX, encode_all, thumbnail

SHOWN_PROMPTS = 9
SHOWN_SEEDS = 4
SHOWN_PHOTOS = 12
# what stands under a picture, and under one of the strip: there the third shows when memorising begins
PICTURE_SCORES = (SUBJECT, PROMPT)
STRIP_SCORES = (SUBJECT, PROMPT, NEAREST)


@dataclass(frozen=True)
class Picture:
    """One image of the page.

    Attributes:
        src: A data address.
        alt: What it is, for those who do not see it.
        label: A short caption.
        scores: Metric name and value pairs, ready to print.
        selected: Whether it is of the selected checkpoint.
    """

    src: str
    alt: str
    label: str
    scores: tuple[tuple[str, str], ...] = ()
    selected: bool = False


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
    head = next(iter(_by_seed(run[run["prompt_id"] == first["prompt_id"]]).values()))
    same = manifest[(manifest["prompt_id"] == head["prompt_id"]) & (manifest["seed"] == head["seed"])]
    rows = [row for _, row in same.sort_values("variant", kind="stable").iterrows()]
    pictures = manifest_pictures(inputs, rows, lambda row: str(row["variant"]), STRIP_SCORES)
    paths = tuple(str(row["path"]) for row in rows)
    return CheckpointStrip(str(head["prompt"]), str(head["seed"]), tuple(pictures), paths)


def manifest_pictures(
    inputs: Inputs,
    rows: Sequence[pd.Series],
    label: Callable[[pd.Series], str],
    metrics: Sequence[str] = PICTURE_SCORES,
) -> Iterator[Picture]:
    """Encodes drawn images with their scores.

    Args:
        inputs: The tables.
        rows: Of the manifest.
        label: Names each.
        metrics: The scores to show, each where the image has it.

    Yields:
        A picture for each row.
    """
    paths = [existing_image(inputs.root, layout.SAMPLES / row["path"], "generate") for row in rows]
    sources = encode_all(lambda path: thumbnail(path, LARGE_PX), paths)
    scores, named = image_scores(inputs.scores), inputs.quantities.label
    for row, src in zip(rows, sources, strict=True):
        own = scores.get((row["variant"], row["prompt_id"], row["seed"]), {})
        shown = [name for name in metrics if name in own]
        yield Picture(
            src=src,
            alt=f"{row['variant']}: {row['prompt']}",
            label=label(row),
            scores=tuple((named(name), f"{own[name]:z.2f}") for name in shown),
            selected=row["variant"] == inputs.run_variant,
        )


def _test_pairs(inputs: Inputs) -> Iterator[tuple[list[pd.Series], list[pd.Series]]]:
    test = inputs.manifest[inputs.manifest["set"] == "test"]
    run, base = (test[test["variant"] == variant] for variant in (inputs.run_variant, "base"))
    for prompt_id in dict.fromkeys(run["prompt_id"]):
        of_run, of_base = (_by_seed(rows[rows["prompt_id"] == prompt_id]) for rows in (run, base))
        seeds = [seed for seed in of_run if seed in of_base][:SHOWN_SEEDS]
        yield [of_base[seed] for seed in seeds], [of_run[seed] for seed in seeds]


def _by_seed(rows: pd.DataFrame) -> dict[str, pd.Series]:
    ordered = rows.assign(order=rows["seed"].astype(int)).sort_values("order", kind="stable")
    return {str(row["seed"]): row for _, row in ordered.iterrows()}


def _seed_label(texts: Texts, row: pd.Series) -> str:
    return f"{texts('samples.seed')} {row['seed']}"
