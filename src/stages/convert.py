"""Turns photos into upright 8-bit sRGB PNGs without metadata. Reads data/raw, writes data/images.

data/images/images.csv has a row per photo: where it came from, how it was stored, how sharp it is, and which photos
are near-duplicates of each other; near_duplicates.csv has a row per pair of these.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import pandas as pd

from src.core import layout
from src.core.app import Stage
from src.core.errors import BadPhotoError, ConfigError, WorkerError
from src.core.files import replaced_folder, write_csv
from src.core.printable import printable
from src.core.progress import follow
from src.core.settings import ConvertSettings, Settings
from src.core.workers import Worker, usable_cores
from src.data.photos.budget import PixelBudget
from src.data.photos.conversion import Converted, PhotoRecord, inspect_photo, limits_of, write_photo
from src.data.photos.decode import check_size
from src.data.photos.duplicates import Pair, Seen, find_pairs, group_names
from src.data.photos.header import DECODE_ERRORS, broken
from src.data.photos.listing import Photo, list_photos

ON_BAD = ("fail", "skip")
# Photos decoded at one time: with 8 to 10 bytes a pixel this stays within 2.5 GB however many cores there are.
PIXELS_AT_ONCE = 210e6
# libwebp's decoder for animations, the only one that Pillow has, keeps two more pictures.
WEBP_WEIGHT = 2
# what a decoder's process needs, this module's own imports included, so that each begins at once
PRELOAD = ("pandas", "src.core.app", "src.data.photos.conversion", "src.data.photos.duplicates")


@dataclass(frozen=True)
class PairRecord:
    """A row of near_duplicates.csv; see `Pair` and `Agreement`."""

    first: str
    second: str
    burst: bool
    mirrored: bool
    inliers: int
    moved: float
    overlap: float
    explained: float
    changed: float


def convert_photos(raw: Path, out: Path, settings: ConvertSettings, workers: int) -> list[PhotoRecord]:
    """Converts every photo under a folder.

    Args:
        raw: The folder with photos, searched with its sub-folders.
        out: The folder that takes the PNGs and images.csv; left as it was on any error.
        settings: What to do with bad photos, and which are bad or near-duplicates.
        workers: How many photos are worked on at one time; the output does not depend on it.

    Returns:
        A record per photo, in the order of their paths.

    Raises:
        ConfigError: An argument is out of its range.
        EmptyDatasetError: There is no photo.
        BadPhotoError: Photos cannot be used; all of them are listed.
    """
    _check(settings)
    listing = list_photos(raw)
    if listing.ignored:
        print(f"convert: {listing.describe_ignored()}")
    with replaced_folder(out) as folder:
        with ExitStack() as processes, _pool(workers) as pool:
            job = _Job(folder.absolute(), settings.max_megapixels, PixelBudget(PIXELS_AT_ONCE), processes)
            done = follow(pool.map(job.convert, listing.photos), len(listing.photos), "convert")
            records, seen, warned = _collect(done)
            _refuse_or_tell(raw, records, settings.on_bad)
            pairs = find_pairs(seen, settings.near_duplicate_bits, pool)
        groups = group_names(seen, [(pair.first, pair.second) for pair in pairs])
        records = [replace(record, group=groups.get(record.image_id, "")) for record in records]
        write_csv(folder / layout.IMAGE_TABLE.name, _table(records))
        write_csv(folder / layout.PAIR_TABLE.name, _pair_table(pairs))
    bad = sum(record.status == "refused" for record in records)
    print(f"convert: {len(records)} photos, {len(records) - bad} converted, {bad} refused, {warned} with a warning")
    return records


def _check(settings: ConvertSettings) -> None:
    if settings.on_bad not in ON_BAD:
        raise ConfigError(f"convert.on_bad is {settings.on_bad!r}: expected one of {', '.join(ON_BAD)}")
    if not settings.max_megapixels > 0:
        raise ConfigError(f"convert.max_megapixels is {settings.max_megapixels}: expected a positive number")
    if not 0 <= settings.near_duplicate_bits <= 64:
        raise ConfigError(f"convert.near_duplicate_bits is {settings.near_duplicate_bits}: expected 0 to 64")


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Gives threads, each with a process of its own that does the work."""
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Job:
    """What is the same for all photos; `processes` ends the workers, of which `hands` has one for each thread."""

    folder: Path
    max_megapixels: float
    budget: PixelBudget
    processes: ExitStack
    hands: threading.local = field(default_factory=threading.local)

    def convert(self, photo: Photo) -> Converted:
        """Converts one photo."""
        digest, reason = "", photo.problem
        if not reason:
            try:
                absolute = replace(photo, path=photo.path.absolute())
                size = absolute.path.stat().st_size
                found = self._worker().call(limits_of(size, 0), inspect_photo, absolute.path)
                digest, (width, height) = found.digest, found.header.size
                check_size((width, height), self.max_megapixels)
                with self.budget.claim((WEBP_WEIGHT if found.header.format == "WEBP" else 1) * width * height):
                    limits = limits_of(size, width * height)
                    return self._worker().call(limits, write_photo, absolute, found, self.folder, self.max_megapixels)
            except (BadPhotoError, WorkerError) as error:
                reason = str(error)
            except DECODE_ERRORS as error:  # wherever it arose, it is this photo's; the disk's own errors go on
                reason = str(broken(error))
        return Converted(PhotoRecord(photo.image_id, photo.source, digest, "refused", printable(reason)), None, ())

    def _worker(self) -> Worker:
        if not hasattr(self.hands, "worker"):
            self.hands.worker = self.processes.enter_context(Worker(PRELOAD))
        return self.hands.worker


def _collect(done: Iterable[Converted]) -> tuple[list[PhotoRecord], dict[str, Seen], int]:
    """Returns the rows, what near-duplicates are told by, and the number of photos with a warning; prints these."""
    records, seen, lines = [], {}, []
    for converted in done:
        record = converted.record
        records.append(record)
        if converted.seen is not None:
            seen[record.image_id] = converted.seen
        if converted.warnings:
            lines.append(f"convert: warning: {record.source}: {'; '.join(converted.warnings)}")
    print("".join(f"{line}\n" for line in lines), end="")
    return records, seen, len(lines)


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


def _pair_table(pairs: Sequence[Pair]) -> pd.DataFrame:
    rows = [
        PairRecord(
            pair.first,
            pair.second,
            pair.burst,
            pair.agreement.mirrored,
            pair.agreement.inliers,
            round(pair.agreement.moved, 3),
            round(pair.agreement.overlap, 3),
            round(pair.agreement.explained, 3),
            round(pair.agreement.changed, 3),
        )
        for pair in pairs
    ]
    return pd.DataFrame([asdict(row) for row in rows], columns=[column.name for column in fields(PairRecord)])


def _table(records: Sequence[PhotoRecord]) -> pd.DataFrame:
    table = pd.DataFrame(
        [asdict(record) for record in records], columns=[column.name for column in fields(PhotoRecord)]
    )
    whole = ("width", "height", "stored_width", "stored_height", "orientation", "bit_depth")
    return table.astype(dict.fromkeys(whole, "Int64"))


def _run(params: Settings) -> None:
    convert_photos(layout.RAW, layout.IMAGES, params.convert, usable_cores())


def main() -> None:
    """Converts data/raw into data/images on all cores."""
    Stage("convert", _run, writes=layout.IMAGES).main()


if __name__ == "__main__":
    main()
