"""How often the stage `data_report` names good photos, and how many planted faults it names.

`python -m benchmarks.bench_data_report --photos FOLDER [FOLDER ...] [--first 0] [--every 1]` prints a table. FOLDER has
a folder of photos per subject, such as the data set of DreamBooth. The photos are cropped as the configuration crops
them; a photo is then blurred, shown from afar, or stands among another subject's.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.common import machine
from src.core.building import build
from src.core.config import load_settings
from src.core.settings import Settings
from src.data.checks.framing import CropRow, blurred, framing, subject_sharpness
from src.data.checks.likeness import outliers, subject_alone
from src.data.cropping.box import Box, Cropper
from src.features.store import FeatureStore, MetricModel, image_file
from src.stages.crop import cut

SIDE = 512
# of crops, or of the photo where that has fewer: a lens out of focus, and a hand that moved
GAUSSIAN_PX, MOTION_PX = (1.5, 2.0, 3.0), 9
# a subject from so many times farther away; sets of so many photos are counted apart
FARTHER, MANY = 3, 10
PHOTO_NAMES = ("*.jpg", "*.png")


@dataclass(frozen=True)
class Photo:
    """A crop, its mask, its side in pixels of the photo, and the subject's share of it from farther away."""

    crop: Image.Image
    mask: Image.Image | None
    side: int
    share: float | None
    far_share: float | None


def subjects(folders: Sequence[Path], first: int, every: int) -> Iterator[Path]:
    """Yields the chosen folders that have photos."""
    found = sorted(path for folder in folders for path in folder.iterdir() if path.is_dir())
    yield from [path for path in found if any(list(path.glob(names)) for names in PHOTO_NAMES)][first::every]


def read_photos(folder: Path, cropper: Cropper) -> list[Photo]:
    """Crops the photos of a subject."""
    photos = []
    for path in sorted(file for names in PHOTO_NAMES for file in folder.glob(names)):
        with Image.open(path) as image:
            whole = image.convert("RGB")
        box = cropper.find(whole)
        crop, mask, share, far = cut(whole, box, SIDE, "edge"), None, None, None
        if box.mask is not None:
            full = Image.fromarray(box.mask).convert("L").resize(whole.size)
            mask = _mask(full, box)
            margin = (FARTHER - 1) * box.side // 2
            edges = (box.left - margin, box.top - margin, box.right + margin, box.bottom + margin)
            share, far = (float(np.mean(np.asarray(m) > 127)) for m in (mask, _mask(full, Box(*edges, "", None))))
        photos.append(Photo(crop, mask, box.side, share, far))
    return photos


def _mask(full: Image.Image, box: Box) -> Image.Image:
    return cut(full, box, SIDE, "constant").point(lambda value: 255 * (value > 127))


def moved(image: Image.Image, pixels: int) -> Image.Image:
    """Smears a picture sideways."""
    return Image.fromarray(cv2.filter2D(np.asarray(image), -1, np.full((1, pixels), 1 / pixels)))


def look_at_blur(photos: Sequence[Photo], params: Settings, found: dict[str, list[bool]]) -> None:
    """Counts photos that are called blurred, as they are and one after the other blurred."""
    limits = (params.data_report.least_sharpness, params.data_report.least_sharpness_share)
    good = {str(n): subject_sharpness(photo.crop, photo.mask, photo.side) for n, photo in enumerate(photos)}
    named = {image for finding in blurred(good, *limits) for image in finding.images}
    found["good: blurred"] += [name in named for name in good]
    for name, photo in zip(good, photos, strict=True):
        more = SIDE / min(photo.side, SIDE)
        kinds = {f"blurred by {px:g} px": photo.crop.filter(ImageFilter.GaussianBlur(px * more)) for px in GAUSSIAN_PX}
        for kind, crop in {**kinds, f"moved by {MOTION_PX} px": moved(photo.crop, round(MOTION_PX * more))}.items():
            spoiled = {**good, name: subject_sharpness(crop, photo.mask, photo.side)}
            found[kind].append(any(name in finding.images for finding in blurred(spoiled, *limits)))


def look_at_share(photos: Sequence[Photo], params: Settings, found: dict[str, list[bool]]) -> None:
    """Counts photos whose subject is called too small, as they are and from farther away."""
    for kind, shares in (
        ("good: small", [photo.share for photo in photos]),
        (f"seen from {FARTHER} times farther", [photo.far_share for photo in photos]),
    ):
        rows = [CropRow("", "", SIDE, 1.0, share, "") for share in shares if share is not None]
        found[kind] += [bool(framing([row], params.data_report.least_subject_share, np.inf)) for row in rows]


def embed(photos: Sequence[Photo], model: MetricModel, store: FeatureStore) -> NDArray[np.float64]:
    """Embeds subjects, (N, D)."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{n}.png" for n in range(len(photos))]
        for photo, path in zip(photos, paths, strict=True):
            subject_alone(photo.crop, photo.mask).save(path)
        return store.embed_images(model, [image_file(path) for path in paths])


def look_at_strangers(sets: dict[str, NDArray[np.float64]], params: Settings, found: dict[str, list[bool]]) -> None:
    """Counts photos that are called unlike the others: a subject's own, and one at a time of every other subject."""
    limits = (params.data_report.outlier_deviations, params.data_report.outlier_least_spread)

    def named(rows: NDArray[np.float64]) -> list[bool]:
        ids = [str(n) for n in range(len(rows))]
        odd = {image for finding in outliers(rows, ids, ids, *limits) for image in finding.images}
        return [name in odd for name in ids]

    for name, rows in sets.items():
        if len(rows) < params.data_report.outlier_least_groups:
            continue
        among = f"among {MANY} or more" if len(rows) >= MANY else f"among fewer than {MANY}"
        found[f"good: unlike the others, {among}"] += named(rows)
        strangers = [other[:1] for other_name, other in sets.items() if other_name != name]
        found[f"a stranger {among}"] += [named(np.concatenate([rows, stranger]))[-1] for stranger in strangers]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--first", type=int, default=0, help="the first folder")
    parser.add_argument("--every", type=int, default=1, help="every so many folders")
    args = parser.parse_args()
    params = load_settings([])
    cropper, model = build(params.cropper, "cropper"), build(params.metric_models["dino"], "metric_models.dino")
    store = FeatureStore(params.evaluate.batch_size, "cpu")
    found: dict[str, list[bool]] = defaultdict(list)
    features = {}
    for folder in subjects(args.photos, args.first, args.every):
        photos = read_photos(folder, cropper)
        look_at_blur(photos, params, found)
        look_at_share(photos, params, found)
        features[folder.name] = embed(photos, model, store)
    look_at_strangers(features, params, found)
    print(f"{machine()}; {len(features)} subjects: {', '.join(features)}; likeness by {model.title}\n")
    print("| what | named | of |\n|---|---|---|")
    for kind, results in sorted(found.items(), key=lambda item: not item[0].startswith("good")):
        print(f"| {kind} | {sum(results)} ({np.mean(results):.1%}) | {len(results)} |")


if __name__ == "__main__":
    main()
