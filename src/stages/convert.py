"""Turns photos into upright 8-bit sRGB PNGs without metadata. Reads data/raw, writes data/images.

data/images/images.csv has a row per photo: where it came from, how it was stored, how sharp it is, and which photos
are near-duplicates of each other.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from src.core.app import run_stage
from src.core.errors import BadPhotoError, ConfigError
from src.core.files import replaced_folder, sha256_file, write_csv
from src.data.photos.budget import PixelBudget
from src.data.photos.decode import check_size, decode_photo
from src.data.photos.fingerprint import grey_version, near_duplicate_groups, perceptual_hash, sharpness
from src.data.photos.header import DECODE_ERRORS, Header, broken, read_header
from src.data.photos.listing import Photo, list_photos

RAW, IMAGES = Path("data/raw"), Path("data/images")
ON_BAD = ("fail", "skip")
# Photos decoded at one time: with 8 to 10 bytes a pixel this stays within 2.5 GB however many cores there are.
PIXELS_AT_ONCE = 210e6
# libwebp's decoder for animations, the only one that Pillow has, keeps two more pictures.
WEBP_WEIGHT = 2
# zlib-ng's fastest level that is not much larger; fixed, so that the same pixels give the same bytes.
PNG_LEVEL = 2


@dataclass(frozen=True)
class PhotoRecord:
    """A row of images.csv; a refused photo has a reason, and only what is known of it."""

    image_id: str
    source: str
    sha256: str
    status: str
    reason: str
    width: int | None = None
    height: int | None = None
    stored_width: int | None = None
    stored_height: int | None = None
    format: str = ""
    orientation: int | None = None
    profile: str = ""
    bit_depth: int | None = None
    sharpness: float | None = None
    phash: str = ""
    group: str = ""


def convert_photos(
    raw: Path, out: Path, on_bad: str, max_megapixels: float, near_duplicate_bits: int, workers: int
) -> list[PhotoRecord]:
    """Converts every photo under a folder.

    Args:
        raw: The folder with photos, searched with its sub-folders.
        out: The folder that takes the PNGs and images.csv; left as it was on any error.
        on_bad: ``fail`` to stop on photos that cannot be used, ``skip`` to record them and go on.
        max_megapixels: Larger photos are refused.
        near_duplicate_bits: How many of the 64 bits of the perceptual hash may differ within a group.
        workers: How many photos are worked on at one time; the output does not depend on it.

    Returns:
        A record per photo, in the order of their paths.

    Raises:
        ConfigError: An argument is out of its range.
        EmptyDatasetError: There is no photo.
        BadPhotoError: Photos cannot be used; all of them are listed.
    """
    _check_arguments(on_bad, max_megapixels, near_duplicate_bits)
    listing = list_photos(raw)
    if listing.ignored:
        print(f"convert: {listing.describe_ignored()}")
    budget = PixelBudget(PIXELS_AT_ONCE)
    with replaced_folder(out) as folder:
        with _pool(workers) as pool:
            records = list(pool.map(lambda photo: _convert(photo, folder, max_megapixels, budget), listing.photos))
        _refuse_or_tell(raw, records, on_bad)
        records = _with_groups(records, near_duplicate_bits)
        write_csv(folder / "images.csv", _table(records))
    return records


def _check_arguments(on_bad: str, max_megapixels: float, near_duplicate_bits: int) -> None:
    if on_bad not in ON_BAD:
        raise ConfigError(f"convert.on_bad is {on_bad!r}: expected one of {', '.join(ON_BAD)}")
    if not max_megapixels > 0:
        raise ConfigError(f"convert.max_megapixels is {max_megapixels}: expected a positive number")
    if not 0 <= near_duplicate_bits <= 64:
        raise ConfigError(f"convert.near_duplicate_bits is {near_duplicate_bits}: expected 0 to 64")


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Gives threads, which are enough: decoding, colour conversion and compression run outside the GIL."""
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _convert(photo: Photo, folder: Path, max_megapixels: float, budget: PixelBudget) -> PhotoRecord:
    digest, reason = "", photo.problem
    if not reason:
        try:
            digest = _digest(photo.path)
            header = read_header(photo.path)
            check_size(header.size, max_megapixels)
            weight = WEBP_WEIGHT if header.format == "WEBP" else 1
            with budget.claim(weight * header.size[0] * header.size[1]):
                return _write(photo, digest, header, folder, max_megapixels)
        except BadPhotoError as error:
            reason = str(error)
        except DECODE_ERRORS as error:  # wherever it arose, it is this photo's; the disk's own errors go on
            reason = str(broken(error))
    return PhotoRecord(photo.image_id, photo.source, digest, "refused", reason)


def _write(photo: Photo, digest: str, header: Header, folder: Path, max_megapixels: float) -> PhotoRecord:
    decoded = decode_photo(photo.path, header, max_megapixels)
    decoded.image.save(folder / f"{photo.image_id}.png", "PNG", compress_level=PNG_LEVEL)
    grey = grey_version(decoded.image)
    return PhotoRecord(
        image_id=photo.image_id,
        source=photo.source,
        sha256=digest,
        status="ok",
        reason="",
        width=decoded.image.width,
        height=decoded.image.height,
        stored_width=decoded.stored_size[0],
        stored_height=decoded.stored_size[1],
        format=header.format,
        orientation=decoded.orientation,
        profile=decoded.profile,
        bit_depth=decoded.bit_depth,
        sharpness=sharpness(grey),
        phash=f"{perceptual_hash(grey):016x}",
    )


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except PermissionError as error:
        raise BadPhotoError("may not be read (permission denied)") from error


def _refuse_or_tell(raw: Path, records: Sequence[PhotoRecord], on_bad: str) -> None:
    bad = [record for record in records if record.status == "refused"]
    if not bad:
        return
    found = f"{len(bad)} of {len(records)} photos in {raw} cannot be used"
    lines = "".join(f"\n  {record.source}: {record.reason}" for record in bad)
    if on_bad == "skip" and len(bad) < len(records):
        print(f"convert: {found} and are left out:{lines}")
        return
    advice = "" if len(bad) == len(records) else "; convert.on_bad=skip records them and goes on"
    raise BadPhotoError(f"{found}{advice}:{lines}")


def _with_groups(records: Sequence[PhotoRecord], max_bits: int) -> list[PhotoRecord]:
    hashes = {record.image_id: int(record.phash, 16) for record in records if record.status == "ok"}
    groups = near_duplicate_groups(hashes, max_bits)
    return [replace(r, group=groups[r.image_id]) if r.image_id in groups else r for r in records]


def _table(records: Sequence[PhotoRecord]) -> pd.DataFrame:
    table = pd.DataFrame([asdict(record) for record in records], columns=[field.name for field in fields(PhotoRecord)])
    whole = ("width", "height", "stored_width", "stored_height", "orientation", "bit_depth")
    return table.astype(dict.fromkeys(whole, "Int64"))


def _run(params: DictConfig) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    settings = params.convert
    convert_photos(RAW, IMAGES, settings.on_bad, settings.max_megapixels, settings.near_duplicate_bits, cores)


def main() -> None:
    """Converts data/raw into data/images on all cores."""
    run_stage("convert", _run, writes=Path("data/images"))


if __name__ == "__main__":
    main()
