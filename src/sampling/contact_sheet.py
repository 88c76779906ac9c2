"""One PNG of many images, a row per prompt, with captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from textwrap import wrap
from xml.sax.saxutils import escape

import vl_convert
from PIL import Image

MARGIN_PX, FONT_PX, LINE_PX = 8, 13, 17
# of a usual letter, by which lines are broken
LETTER_PX = 7
MAX_CELL_PX = 256


@dataclass(frozen=True)
class Row:
    """A row of images.

    Attributes:
        caption: Stands above it.
        images: Each with what stands below it.
    """

    caption: str
    images: Sequence[tuple[str, Image.Image]]


def draw_sheet(rows: Sequence[Row]) -> Image.Image:
    """Draws a contact sheet.

    Args:
        rows: At least one image.

    Returns:
        RGB, images no larger than MAX_CELL_PX.
    """
    longest = max(max(image.size) for row in rows for _, image in row.images)
    share = min(1.0, MAX_CELL_PX / longest)
    cell = max(round(longest * share), 8 * LETTER_PX)
    width = MARGIN_PX + max(len(row.images) for row in rows) * (cell + MARGIN_PX)
    texts, pasted, top = [], [], MARGIN_PX
    for row in rows:
        for line in wrap(row.caption, max(12, width // LETTER_PX - 2)):
            texts.append((MARGIN_PX, top + FONT_PX, line))
            top += LINE_PX
        tallest = 0
        for column, (below, image) in enumerate(row.images):
            shown = image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))))
            left, tallest = MARGIN_PX + column * (cell + MARGIN_PX), max(tallest, shown.height)
            pasted.append((shown, (left, top)))
            texts.append((left, top + shown.height + FONT_PX, below))
        top += tallest + LINE_PX + MARGIN_PX
    sheet = _letters(texts, (width, top))
    for shown, place in pasted:
        sheet.paste(shown, place)
    return sheet


def _letters(texts: Sequence[tuple[int, int, str]], size: tuple[int, int]) -> Image.Image:
    """Draws texts in any alphabet that the fonts of vl-convert and of this machine have."""
    shown = "".join(
        f'<text x="{left}" y="{base}" font-family="sans-serif" font-size="{FONT_PX}">{escape(_printable(text))}</text>'
        for left, base, text in texts
    )
    area = f'width="{size[0]}" height="{size[1]}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {area}><rect {area} fill="white"/>{shown}</svg>'
    with Image.open(BytesIO(vl_convert.svg_to_png(svg))) as drawn:
        return drawn.convert("RGB")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
