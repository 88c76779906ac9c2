"""Pictures for display with their scores, re-encoded from pixels alone: no metadata of a photo can reach the page."""

import base64
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import pandas as pd
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from src.core import layout
from src.metrics.names import PROMPT, SUBJECT
from src.reporting.inputs import Inputs, existing_image
from src.reporting.scoring import image_scores

# convert has checked every size against convert.max_megapixels
Image.MAX_IMAGE_PIXELS = None

LARGE_PX = 256
SMALL_PX = 176
# a decoded 200-megapixel photo is 600 MB, so not all cores of a large machine at once
MAX_THREADS = 4
WEBP_QUALITY = 82
# outside the crop box a photo is shown at this share of its brightness
OUTSIDE = 0.45
# a light line in a dark one is seen on every ground; the width of both, pixels, odd
OUTLINE, OUTLINE_EDGE, OUTLINE_PX = (255, 214, 64), (20, 20, 20), 5

Item = TypeVar("Item")
Box = tuple[float, float, float, float]
# what stands under a picture
PICTURE_SCORES = (SUBJECT, PROMPT)


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


def thumbnail(path: Path | IO[bytes], side_px: int) -> str:
    """Encodes an image file for inlining.

    Args:
        path: An image, or its content; its longer side shrinks to `side_px` and never grows.
        side_px: The longest side, pixels.

    Returns:
        A ``data:image/webp;base64,`` address.
    """
    with Image.open(path) as image:
        return _data_address(_shrink(image, side_px))


def boxed_thumbnail(path: Path, box: Box, side_px: int) -> str:
    """Encodes a photo with its crop box outlined and the rest darkened.

    Args:
        path: The upright photo.
        box: left, top, right, bottom in the photo's pixels.
        side_px: The longest side, pixels.

    Returns:
        A ``data:image/webp;base64,`` address.
    """
    with Image.open(path) as image:
        full_width = image.width
        small = _shrink(image, side_px)
    scale = small.width / full_width
    left, top, right, bottom = (round(edge * scale) for edge in box)
    inside = (max(left, 0), max(top, 0), min(right, small.width), min(bottom, small.height))
    shown = small.point([round(level * OUTSIDE) for level in range(256)] * 3)
    shown.paste(small.crop(inside), inside)
    ImageDraw.Draw(shown).rectangle((inside[0], inside[1], inside[2] - 1, inside[3] - 1), outline=(255, 255, 255))
    return _data_address(shown)


def masked_thumbnail(path: Path, mask: Path, side_px: int) -> str:
    """Encodes a crop with its subject outlined.

    Args:
        path: The crop.
        mask: White where the subject is, black elsewhere, of the crop's size.
        side_px: The longest side, pixels.

    Returns:
        A ``data:image/webp;base64,`` address.
    """
    with Image.open(path) as image, Image.open(mask) as inside:
        small = _shrink(image, side_px)
        subject = inside.convert("L").resize(small.size, Image.Resampling.BILINEAR).point(lambda v: 255 * (v > 127))
    for reach, colour in ((OUTLINE_PX, OUTLINE_EDGE), (OUTLINE_PX - 2, OUTLINE)):
        rim = ImageChops.difference(subject.filter(ImageFilter.MaxFilter(reach)), subject)
        small.paste(colour, mask=rim)
    return _data_address(small)


def encode_all(encode: Callable[[Item], str], items: Iterable[Item]) -> list[str]:
    """Encodes many images on all cores, in the order given; Pillow decodes outside the interpreter lock."""
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        return list(pool.map(encode, items))


def _shrink(image: Image.Image, side_px: int) -> Image.Image:
    rgb = image.convert("RGB")
    factor = max(rgb.width // (2 * side_px), rgb.height // (2 * side_px), 1)
    reduced = rgb.reduce(factor) if factor > 1 else rgb
    scale = min(side_px / max(reduced.size), 1.0)
    size = (max(round(reduced.width * scale), 1), max(round(reduced.height * scale), 1))
    return reduced.resize(size, Image.Resampling.LANCZOS) if size != reduced.size else reduced


def _data_address(image: Image.Image) -> str:
    pixels = Image.new("RGB", image.size)
    pixels.paste(image)
    buffer = io.BytesIO()
    pixels.save(buffer, "WEBP", quality=WEBP_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def manifest_pictures(
    inputs: Inputs,
    rows: Sequence[pd.Series],
    label: Callable[[pd.Series], str],
    metrics: Sequence[str] = PICTURE_SCORES,
) -> Iterator[Picture]:
    """Encodes generated images with their scores.

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


def by_seed(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Returns rows of the manifest by their seeds, from the lowest up."""
    ordered = rows.assign(order=rows["seed"].astype(int)).sort_values("order", kind="stable")
    return {str(row["seed"]): row for _, row in ordered.iterrows()}
