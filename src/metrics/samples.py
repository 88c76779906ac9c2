"""Reads what is to be scored: the manifest of generated images, and the photos that are their reference rows."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from src.core import layout
from src.core.errors import MetricError
from src.core.files import sha256_bytes
from src.core.sets import DEV, GENERATED_SETS, TEST
from src.core.tables import read_table
from src.features.store import image_file
from src.metrics.base import References, Sample
from src.metrics.names import BASE, COPY, COPY_DECODED, REAL, REAL_DECODED, ROWS
from src.trackers.evaluation import GridRow

MANIFEST_COLUMNS = ("variant", "prompt_id", "set", "group", "prompt_plain", "seed", "path", "sha256")
HELD_OUT = "held_out"


def read_samples(folder: Path, required: str = TEST) -> list[Sample]:
    """Reads the manifest and checks it against the files.

    Args:
        folder: Holds manifest.csv and the images that it names.
        required: The prompt set without which there is nothing to measure.

    Returns:
        The samples in order of variant, prompt and seed.

    Raises:
        MetricError: A file is missing, not listed, listed twice or has other content; a checkpoint lacks an image of
            the dev prompts or, where it has more than those, any that base has; or there is nothing to compare.
    """
    manifest = folder / layout.MANIFEST.name
    table = read_table(manifest, *MANIFEST_COLUMNS)
    for columns in (["path"], ["variant", "prompt_id", "seed"]):
        twice = table[table.duplicated(columns)]
        if len(twice):
            raise MetricError(f"{manifest}: listed twice: {', '.join(twice['path'])}")
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    present = {path.relative_to(folder).as_posix() for path in files} - {layout.MANIFEST.name}
    if missing := sorted(set(table["path"]) - present):
        raise MetricError(f"{manifest}: missing files: {', '.join(missing)}")
    if extra := sorted(present - set(table["path"])):
        raise MetricError(f"{manifest}: files that it does not list: {', '.join(extra)}")
    samples = sorted((_sample(folder, row) for _, row in table.iterrows()), key=sample_key)
    _check_design(samples, manifest, required)
    return samples


def read_adapters(manifest: Path) -> dict[str, str]:
    """Reads what generated the samples.

    Args:
        manifest: manifest.csv.

    Returns:
        The digest of each checkpoint, by its name.

    Raises:
        EmptyDatasetError: There is no manifest, or it is of an earlier version.
    """
    table = read_table(manifest, "variant", "adapter")
    return {name: digest for name, digest in zip(table["variant"], table["adapter"], strict=True) if name != BASE}


def read_references(split: Path, crops: Path) -> References:
    """Reads which photos were held out and which were trained on.

    Args:
        split: split.csv.
        crops: The folder of crops.

    Returns:
        Both sides, in order of the image ids.

    Raises:
        MetricError: A side is empty, or a crop is missing.
    """
    table = read_table(split, "image_id", "group", "split").sort_values("image_id")
    sides = {
        side: tuple(image_file(crops / f"{image_id}.png") for image_id in table["image_id"][table["split"] == side])
        for side in ("val", "train")
    }
    if empty := [side for side, files in sides.items() if not files]:
        raise MetricError(f"{split}: expected at least one photo in {' and in '.join(empty)}, found none")
    return References(sides["val"], sides["train"], tuple(table["group"][table["split"] == "val"]))


def real_samples(references: References, captions: Path, token: str) -> list[Sample]:
    """Presents the held-out photos as samples, with their captions as text: the ceiling.

    Args:
        references: The photos.
        captions: captions.csv.
        token: The rare token, which is removed from the captions.

    Returns:
        One sample per held-out photo, and one of it through the autoencoder where there is that.

    Raises:
        MetricError: A photo has no caption.
    """
    table = read_table(captions, "image_id", "caption")
    texts = dict(zip(table["image_id"], table["caption"], strict=True))
    if missing := [file.path.stem for file in references.val if file.path.stem not in texts]:
        raise MetricError(f"{captions}: no caption for {', '.join(missing)}")
    kinds = ((REAL, references.val), (REAL_DECODED, references.val_decoded))
    return [
        Sample(variant, HELD_OUT, "none", "none", index, remove_token(texts[file.path.stem], token), file)
        for variant, files in kinds
        for index, file in enumerate(files)
    ]


def copy_samples(samples: Sequence[Sample], references: References) -> list[Sample]:
    """Puts training photos in the place of the base model's test images, in turn: what copying would score.

    Args:
        samples: With the base model's.
        references: The photos.

    Returns:
        As many samples as the base model has for test prompts, and as many of photos through the autoencoder.
    """
    places = [sample for sample in samples if sample.variant == BASE and sample.set == TEST]
    kinds = ((COPY, references.train), (COPY_DECODED, references.train_decoded))
    return [
        Sample(variant, place.prompt_id, place.set, place.group, place.seed, place.text, photos[index % len(photos)])
        for variant, photos in kinds
        if photos
        for index, place in enumerate(places)
    ]


def remove_token(text: str, token: str) -> str:
    """Removes a word from a text, whatever its case, and the space before it.

    Args:
        text: For example ``a photo of sksToy toy, indoors``.
        token: For example ``sksToy``.

    Returns:
        The rest with single spaces, for example ``a photo of toy, indoors``.
    """
    without = re.sub(rf"\s*(?<!\w){re.escape(token)}(?!\w)", "", text, flags=re.IGNORECASE)
    return " ".join(without.split())


def prompt_digest(samples: Sequence[Sample]) -> str:
    """Returns a SHA-256 over ids, sets, groups and texts of the prompts."""
    prompts = sorted({(s.prompt_id, s.set, s.group, s.text) for s in samples})
    return sha256_bytes("\n".join("\0".join(prompt) for prompt in prompts).encode())


def checkpoint_steps(variants: Iterable[str]) -> dict[str, int]:
    """Returns the training step of each checkpoint among variants, in order of steps; 0 for names that tell none."""
    found = {name: layout.checkpoint_step(name) or 0 for name in variants if name not in ROWS}
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def sample_key(sample: Sample) -> tuple[str, str, int]:
    """Returns what samples are sorted by."""
    return sample.variant, sample.prompt_id, sample.seed


def _sample(folder: Path, row: "pd.Series[str]") -> Sample:
    file = image_file(folder / row["path"])
    if file.sha256 != row["sha256"]:
        raise MetricError(f"{file.path}: sha256 is {file.sha256}, the manifest says {row['sha256']}")
    if row["variant"] != BASE and (row["variant"] in ROWS or not layout.is_checkpoint_name(row["variant"])):
        raise MetricError(f"{file.path}: variant {row['variant']!r}; expected base or the plain name of a checkpoint")
    if row["set"] not in GENERATED_SETS:
        raise MetricError(f"{file.path}: unknown prompt set {row['set']!r}; expected {', '.join(GENERATED_SETS)}")
    if not row["seed"].isdecimal():
        raise MetricError(f"{file.path}: expected a seed like 0, found {row['seed']!r}")
    return Sample(
        row["variant"], row["prompt_id"], row["set"], row["group"], int(row["seed"]), row["prompt_plain"], file
    )


def _check_design(samples: Sequence[Sample], manifest: Path, required: str) -> None:
    designs: dict[str, set[tuple[str, str, str, int]]] = {}
    for s in samples:
        designs.setdefault(s.variant, set()).add((s.prompt_id, s.set, s.text, s.seed))
    if BASE not in designs or len(designs) < 2:
        raise MetricError(f"{manifest}: expected base and at least one checkpoint, found {', '.join(designs)}")
    dev = {one for one in designs[BASE] if one[1] == DEV}
    for variant, design in designs.items():
        expected = dev if all(one[1] == DEV for one in design) else designs[BASE]
        if differing := sorted(design ^ expected):
            prompt_id, _, text, seed = differing[0]
            raise MetricError(
                f"{manifest}: {variant} and base differ in {len(differing)} images; the first is prompt "
                f"{prompt_id} ({text!r}), seed {seed}. Only the same prompts and seeds can be compared"
            )
    if not any(s.set == required for s in samples):
        raise MetricError(f"{manifest}: expected {required} prompts, found none")


def sample_rows(samples: Sequence[Sample], run: str) -> list[GridRow]:
    """Returns the first image of each test prompt, of base and of a checkpoint, in the order of the prompts' names.

    Args:
        samples: Generated images.
        run: The checkpoint.

    Returns:
        A row per prompt, under its text.
    """
    first: dict[tuple[str, str], Sample] = {}
    for sample in samples:
        if sample.set == TEST:
            first.setdefault((sample.prompt_id, sample.variant), sample)
    prompts = sorted({prompt for prompt, _ in first})
    return [
        GridRow(first[prompt, run].text, tuple(first[prompt, variant].image.path for variant in (BASE, run)))
        for prompt in prompts
    ]
