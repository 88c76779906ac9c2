"""The page about photos and captions before the training: each photo that is meant, the figure, and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd

from src.core import layout
from src.core.files import write_csv, write_text
from src.core.settings import Settings
from src.core.tables import read_table
from src.data.checks.finding import Finding, Kind, Unchecked
from src.reporting.inputs import existing_image
from src.reporting.pictures import SMALL_PX, boxed_thumbnail, encode_all, masked_thumbnail, thumbnail
from src.reporting.templating import render_page
from src.reporting.texts import Texts, load_texts

# what is to be seen in the crop; of the others the whole photo is shown, with the crop's box
OF_CROPS = ("outlier", "strange_face", "several_faces", "blurred")
COLUMNS = ("kind", "image_id", "source", "figure", "threshold", "detail")
KINDS: tuple[Kind, ...] = get_args(Kind)
UNCHECKED = "unchecked"
# findings of several photos each that are shown at once; the rest unfolds
SHOWN_CARDS = 4


@dataclass(frozen=True)
class Looked:
    """What a look at photos and captions gave.

    Attributes:
        images: The photos that were looked at.
        findings: What may be wrong.
        unchecked: What was not looked for.
        model: What texts call the metric model that compares subjects.
    """

    images: tuple[str, ...]
    findings: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]
    model: str


@dataclass(frozen=True)
class Shown:
    """A photo of a finding: its name in data/raw, a data address, and its caption."""

    source: str
    photo: str
    caption: str


@dataclass(frozen=True)
class Card:
    """A finding, ready to print: its photos, and what was measured against what."""

    photos: tuple[Shown, ...]
    measured: str


@dataclass(frozen=True)
class Part:
    """All findings of one kind."""

    kind: Kind
    cards: tuple[Card, ...]


def write_findings(path: Path, looked: Looked, sources: Mapping[str, str]) -> None:
    """Writes the findings as a table, a row for each photo of each; what was not looked for is a row, too.

    Args:
        path: The CSV file.
        looked: What was found.
        sources: Names in data/raw by image_id.
    """
    rows: list[tuple[object, ...]] = [
        (finding.kind, image, sources.get(image, ""), round(finding.figure, 4), finding.threshold, finding.detail)
        for finding in looked.findings
        for image in finding.images or ("",)
    ]
    rows += [(UNCHECKED, "", "", None, None, f"{one.kind}: {one.why} {one.detail}".strip()) for one in looked.unchecked]
    write_csv(path, pd.DataFrame(rows, columns=list(COLUMNS)))


def write_page(root: Path, out: Path, looked: Looked, params: Settings) -> None:
    """Writes the page.

    Args:
        root: The folder that holds data/.
        out: The HTML file.
        looked: What was found.
        params: The stage's parameters.

    Raises:
        ConfigError: There are no texts in that language.
        EmptyDatasetError: A photo or a table is missing.
    """
    texts = load_texts(params.report.language)
    parts = build_parts(root, looked, texts)
    affected = {image for finding in looked.findings for image in finding.images}
    nowhere = f"{len(looked.images)}/{len(looked.images)}"
    left_out = {one.kind for one in looked.unchecked if one.why != "no_mask" or one.detail == nowhere}
    found = {part.kind for part in parts}
    page = render_page(
        "data_report.html.j2",
        title=texts("before.title"),
        texts=texts,
        specs={},
        parts=parts,
        shown_cards=SHOWN_CARDS,
        lead=texts("before.lead", findings=len(looked.findings), photos=len(affected), total=len(looked.images)),
        model=looked.model,
        clear=[texts(f"before.{kind}") for kind in KINDS if kind not in found | left_out],
        unchecked=[
            (texts(f"before.{one.kind}"), texts(f"before.why.{one.why}", detail=one.detail)) for one in looked.unchecked
        ],
        thresholds={f"data_report.{key}": value for key, value in vars(params.data_report).items()}
        | {"crop.max_upscale": params.crop.max_upscale},
    )
    write_text(out, page)


def build_parts(root: Path, looked: Looked, texts: Texts) -> tuple[Part, ...]:
    """Puts the findings of each kind together, with their photos.

    Args:
        root: The folder that holds data/.
        looked: What was found.
        texts: The words.

    Returns:
        Kinds that have any, in the page's order.
    """
    images = read_table(root / layout.IMAGE_TABLE, "image_id", "source").set_index("image_id")["source"]
    captions = read_table(root / layout.CAPTIONS, "image_id", "caption").set_index("image_id")["caption"]
    crops = read_table(root / layout.CROP_TABLE, "image_id", "left", "top", "right", "bottom").set_index("image_id")
    boxes = {
        str(image): (float(left), float(top), float(right), float(bottom))
        for image, left, top, right, bottom in crops[["left", "top", "right", "bottom"]].itertuples(name=None)
    }
    wanted = list(dict.fromkeys((image, f.kind in OF_CROPS) for f in looked.findings for image in f.images))

    def encode(one: tuple[str, bool]) -> str:
        image, of_crop = one
        if not of_crop:
            return boxed_thumbnail(
                existing_image(root, layout.IMAGES / f"{image}.png", "convert"), boxes[image], SMALL_PX
            )
        path = existing_image(root, layout.CROPS / f"{image}.png", "crop")
        mask = path.parent / layout.MASKS / path.name
        return masked_thumbnail(path, mask, SMALL_PX) if mask.is_file() else thumbnail(path, SMALL_PX)

    shown = dict(zip(wanted, encode_all(encode, wanted), strict=True))
    parts = []
    for kind in KINDS:
        cards = tuple(
            Card(
                tuple(Shown(images[i], shown[i, kind in OF_CROPS], captions.get(i, "")) for i in finding.images),
                measured(finding, texts),
            )
            for finding in looked.findings
            if finding.kind == kind
        )
        parts += [Part(kind, cards)] if cards else []
    return tuple(parts)


def measured(finding: Finding, texts: Texts) -> str:
    """Returns what was measured and what it was compared with, ready to print."""
    share = finding.kind in ("small", "repeated_word", "no_background")
    form = ".0%" if share else ".2f" if finding.kind == "strange_face" else ".3g"
    # three digits, but never as 1.6e+03
    figure, threshold = (
        f"{value:z.0f}" if not share and abs(value) >= 1000 else f"{value:{form}}"
        for value in (finding.figure, finding.threshold)
    )
    return texts(
        f"before.{finding.kind}.figure",
        figure=figure,
        threshold=threshold,
        detail=finding.detail,
    )
