"""Pictures of a person's own prompts, beside what is there: nothing is replaced and nothing is deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from src.core import layout
from src.core.files import has_file, sha256_bytes, write_bytes, write_csv
from src.core.picture_record import PictureRecord
from src.core.tables import read_table
from src.sampling.cache import SampleCache, png_bytes
from src.sampling.contact_sheet import Row, draw_sheet
from src.sampling.picture_text import chunks
from src.sampling.variants import Planned, manifest_row

# of a hash, in a file's name
DIGITS = 8
SHEETS = "sheets"


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        planned: What it shows.
        record: How it was made.
        image: RGB.
        data: The file, with or without text.
        path: Its place in the folder of pictures; the name ends with digits of all that decides the file.
    """

    planned: Planned
    record: PictureRecord
    image: Image.Image
    data: bytes
    path: Path


def finish(planned: Planned, record: PictureRecord, cache: SampleCache, with_text: bool) -> Picture:
    """Takes a picture out of the cache and gives it its text and its name.

    Args:
        planned: It has been generated.
        record: How it was made.
        cache: Where it is.
        with_text: Whether the PNG says how it was made.

    Returns:
        The picture.
    """
    generated = cache.get(planned.variant.digest, planned.job)
    assert generated is not None, "generated before"
    with Image.open(BytesIO(generated)) as opened:
        image = opened.convert("RGB")
    name = cache.path(planned.variant.digest, planned.job).stem
    data = generated
    if with_text:
        data, name = png_bytes(image, chunks(record)), sha256_bytes(f"{name}{record.dump()}".encode())
    path = Path(planned.variant.name) / planned.job.prompt.id / f"{planned.job.seed}-{name[:DIGITS]}.png"
    return Picture(planned, record, image, data, path)


def write_pictures(out: Path, pictures: Sequence[Picture]) -> pd.DataFrame:
    """Writes pictures and their rows of manifest.csv.

    Args:
        out: A folder, perhaps with earlier ones.
        pictures: At least one.

    Returns:
        The manifest, earlier pictures first.
    """
    for picture in pictures:
        write_bytes(out / picture.path, picture.data)
    rows = pd.DataFrame([_row(picture) for picture in pictures])
    manifest = out / layout.MANIFEST.name
    if has_file(manifest):
        earlier = read_table(manifest, "path")
        rows = pd.concat([earlier[~earlier["path"].isin(rows["path"])], rows], ignore_index=True)
    write_csv(manifest, rows)
    return rows


def write_sheet(out: Path, pictures: Sequence[Picture]) -> Path:
    """Writes a contact sheet, a row per prompt.

    Args:
        out: The folder of pictures.
        pictures: At least one.

    Returns:
        Its file, named after all that it shows.
    """
    rows: dict[str, list[tuple[str, Image.Image]]] = {}
    for picture in pictures:
        job = picture.planned.job
        rows.setdefault(job.text, []).append((f"{picture.planned.variant.name}, {job.seed}", picture.image))
    name = sha256_bytes("\0".join(picture.path.as_posix() for picture in pictures).encode())[:DIGITS]
    path = out / SHEETS / f"{name}.png"
    write_bytes(path, png_bytes(draw_sheet([Row(text, images) for text, images in rows.items()])))
    return path


def _row(picture: Picture) -> dict[str, Any]:
    record = picture.record
    return {
        **manifest_row(picture.planned, picture.path, sha256_bytes(picture.data)),
        "negative_prompt": record.negative_prompt,
        "noise_seed": record.seed,
        "steps": record.steps,
        "sampler": record.sampler,
        "guidance_scale": record.guidance_scale,
        "width": record.width,
        "height": record.height,
        "model": record.model,
        "model_sha256": record.model_sha256,
        "adapters": " ".join(f"{one['sha256']}*{one['weight']:g}" for one in record.adapters),
    }
