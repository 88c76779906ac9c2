"""Looks for what is wrong with photos and captions before anything is trained on them. Nothing is dropped.

Reads data/crops, data/images and data/captions.csv; writes metrics/data.html, a page with each photo that is meant, and
metrics/data_findings.csv with the same as a table. `dvc repro data_report` makes them before the training.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.core import layout
from src.core.app import Stage
from src.core.building import build
from src.core.device import choose_device
from src.core.errors import ConfigError, MetricError, MissingModelError, ModelMismatchError
from src.core.progress import follow
from src.core.settings import DataReportSettings, Settings
from src.core.tables import read_table
from src.data.checks.finding import Finding, Unchecked
from src.data.checks.framing import CropRow, blurred, duplicates, framing, subject_sharpness
from src.data.checks.likeness import outliers, strange_faces, subject_alone
from src.data.checks.wording import CaptionRow, telling, wording
from src.features.store import FeatureStore, ImageExtractor, MetricModel, image_file, open_rgb
from src.metrics.identity import FaceModel
from src.reporting.data_report import Looked, write_findings, write_page

# the folders of an absolute path
ABSOLUTE = re.compile(r"(?<![\w.:/-])(?:~?/|[A-Za-z]:[\\/])(?:[^\s'\":/\\]+[/\\])+")
# what keeps a network from being used: the check is left out and named, the page is made
UNUSABLE = (ConfigError, MetricError, MissingModelError, ModelMismatchError)


def check_values(settings: DataReportSettings) -> None:
    """Refuses thresholds that mean nothing.

    Args:
        settings: The stage's.

    Raises:
        ConfigError: A share is not in [0, 1], or another value is not positive.
    """
    for key, value in vars(settings).items():
        if key.endswith("_share") and not 0 <= value <= 1:
            raise ConfigError(f"data_report.{key}={value}: expected 0 to 1")
        if key == "same_person" and not -1 <= value <= 1:
            raise ConfigError(f"data_report.{key}={value}: expected -1 to 1")
        if not isinstance(value, bool) and not key.endswith("_share") and key != "same_person" and not value > 0:
            raise ConfigError(f"data_report.{key}={value}: expected a positive number")
    if settings.outlier_least_groups < 3:
        raise ConfigError(f"data_report.outlier_least_groups={settings.outlier_least_groups}: expected 3 or more")


def read_crops(data: Path) -> list[CropRow]:
    """Reads what crop and convert know of the photos that are used.

    Args:
        data: Holds images/ and crops/.

    Returns:
        In order of the image ids.

    Raises:
        EmptyDatasetError: A table is missing or lacks a column.
    """
    images = read_table(data / layout.IMAGES.name / layout.IMAGE_TABLE.name, "image_id", "group")
    groups = dict(zip(images["image_id"], images["group"], strict=True))
    columns = ("image_id", "left", "right", "scale", "subject_share", "warning")
    table = read_table(data / layout.CROPS.name / layout.CROP_TABLE.name, *columns)
    return [
        CropRow(
            image, groups[image], int(right) - int(left), float(scale), float(share) if share else None, str(warning)
        )
        for image, left, right, scale, share, warning in table[list(columns)].itertuples(index=False, name=None)
    ]


def look_at_crops(
    rows: Sequence[CropRow], crops: Path, settings: DataReportSettings, max_upscale: float
) -> tuple[list[Finding], list[Unchecked]]:
    """Measures sharpness and framing.

    Args:
        rows: The crops.
        crops: Their folder.
        settings: The thresholds.
        max_upscale: `crop.max_upscale`.

    Returns:
        What was found, and what was not looked for.
    """
    followed = follow(rows, len(rows), "data_report")
    sharpness = {row.image: subject_sharpness(*_opened(crops, row.image), row.side) for row in followed}
    found = blurred(sharpness, settings.least_sharpness, settings.least_sharpness_share)
    found += framing(rows, settings.least_subject_share, max_upscale)
    found += duplicates(rows, settings.most_alike)
    unknown = sum(row.share is None for row in rows)
    return found, [Unchecked("small", "no_mask", f"{unknown}/{len(rows)}")] if unknown else []


def look_for_outliers(
    rows: Sequence[CropRow],
    crops: Path,
    settings: DataReportSettings,
    model: MetricModel[ImageExtractor],
    store: FeatureStore,
) -> tuple[list[Finding], list[Unchecked]]:
    """Compares the subjects with each other.

    Args:
        rows: The crops.
        crops: Their folder.
        settings: The thresholds.
        model: Loaded only where there are enough photos.
        store: Loads it.

    Returns:
        The outliers, or why they were not looked for.
    """
    if len({row.group for row in rows}) < settings.outlier_least_groups:
        return [], [Unchecked("outlier", "few", str(settings.outlier_least_groups))]
    try:
        features = subject_features([row.image for row in rows], crops, model, store)
    except UNUSABLE as error:
        return [], [Unchecked("outlier", "failed", without_folders(str(error)))]
    images, groups = [row.image for row in rows], [row.group for row in rows]
    return outliers(features, images, groups, settings.outlier_deviations, settings.outlier_least_spread), []


def subject_features(
    images: Sequence[str], crops: Path, model: MetricModel[ImageExtractor], store: FeatureStore
) -> NDArray[np.float64]:
    """Embeds each subject without its background.

    Args:
        images: Image ids.
        crops: The folder of crops and masks.
        model: The metric model.
        store: Loads it.

    Returns:
        Unit vectors, (N, D).
    """
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{image}.png" for image in images]
        for image, path in zip(images, paths, strict=True):
            subject_alone(*_opened(crops, image)).save(path)
        return store.embed_images(model, [image_file(path) for path in paths])


def look_for_faces(
    rows: Sequence[CropRow], crops: Path, settings: DataReportSettings, model: FaceModel
) -> tuple[list[Finding], list[Unchecked]]:
    """Counts the faces of each crop, and compares the largest ones.

    Args:
        rows: The crops.
        crops: Their folder.
        settings: Whether faces are looked for, and when two are of one person.
        model: YuNet, which `cropper=face` uses, and SFace.

    Returns:
        What was found, or why it was not looked for.
    """
    if not settings.look_for_faces:
        return [], [Unchecked("several_faces", "off"), Unchecked("strange_face", "off")]
    try:
        extractor = model.load("cpu")
        faces = {row.image: extractor.faces(image_file(crops / f"{row.image}.png")) for row in rows}
    except UNUSABLE as error:
        said = without_folders(str(error))
        return [], [Unchecked("several_faces", "failed", said), Unchecked("strange_face", "failed", said)]
    several = [Finding("several_faces", (image,), len(found), 1) for image, found in faces.items() if len(found) > 1]
    largest = {image: found[0] for image, found in faces.items() if found}
    few = [] if len(largest) >= 3 else [Unchecked("strange_face", "few", "3")]
    return several + strange_faces(largest, settings.same_person), few


def without_folders(message: str) -> str:
    """Leaves only the last names of absolute paths in a message, so that the page does not tell of its machine."""
    return ABSOLUTE.sub("…/", message)


def look(params: Settings, data: Path, model: MetricModel[ImageExtractor], faces: FaceModel) -> Looked:
    """Looks for everything.

    Args:
        params: The stage's parameters.
        data: Holds images/, crops/ and captions.csv.
        model: Tells how alike two subjects are.
        faces: Finds and recognises faces.

    Returns:
        What was found.
    """
    settings, crops = params.data_report, data / layout.CROPS.name
    rows = read_crops(data)
    group_of = {row.image: row.group for row in rows}
    captions = read_table(data / layout.CAPTIONS.name, "image_id", "caption")
    captioned = [
        CaptionRow(image, group_of[image], caption)
        for image, caption in captions[["image_id", "caption"]].itertuples(index=False, name=None)
    ]
    store = FeatureStore(params.evaluate.batch_size, choose_device(params.device).type, "data_report")
    odd, odd_unchecked = look_for_outliers(rows, crops, settings, model, store)
    seen, seen_unchecked = look_for_faces(rows, crops, settings, faces)
    framed, framed_unchecked = look_at_crops(rows, crops, settings, params.crop.max_upscale)
    limits = (settings.repeated_share, settings.background_share, settings.least_captions)
    said = wording(captioned, params.caption.prefix, *limits)
    unchecked = [*odd_unchecked, *seen_unchecked, *framed_unchecked]
    if len(telling(captioned, params.caption.prefix)) < settings.least_captions:
        unchecked += [Unchecked("repeated_word", "few", str(settings.least_captions))]
        unchecked += [Unchecked("no_background", "few", str(settings.least_captions))]
    return Looked(tuple(row.image for row in rows), (*odd, *seen, *framed, *said), tuple(unchecked), model.title)


def summarise(looked: Looked, sources: Mapping[str, str]) -> str:
    """Returns a line that counts, one for each kind of finding, and one for each check that failed."""
    kinds: dict[str, list[Finding]] = {}
    for finding in looked.findings:
        kinds.setdefault(finding.kind, []).append(finding)
    lines = [f"data_report: {len(looked.findings)} findings, nothing is dropped: {layout.DATA_PAGE}"]
    for kind, findings in kinds.items():
        names = ", ".join(sources[image] for finding in findings for image in finding.images)
        lines.append(f"data_report: {kind}: {names or findings[0].detail or 'all captions'}")
    lines += [f"data_report: warning: no {one.kind}: {one.detail}" for one in looked.unchecked if one.why == "failed"]
    return "\n".join(lines)


def _opened(crops: Path, image: str) -> tuple[Image.Image, Image.Image | None]:
    """Returns a crop and the subject's mask, None where there is none."""
    mask = crops / layout.MASKS / f"{image}.png"
    if not mask.is_file():
        return open_rgb(crops / f"{image}.png"), None
    with Image.open(mask) as inside:
        return open_rgb(crops / f"{image}.png"), inside.convert("L")


def _run(params: Settings) -> None:
    check_values(params.data_report)
    model, faces = build(params.metric_models["dino"], "metric_models.dino"), build(params.faces, "faces")
    looked = look(params, layout.DATA, model, faces)
    images = read_table(layout.IMAGE_TABLE, "image_id", "source")
    sources = dict(zip(images["image_id"], images["source"], strict=True))
    write_findings(layout.DATA_FINDINGS, looked, sources)
    write_page(Path(), layout.DATA_PAGE, looked, params)
    print(summarise(looked, sources))


def main() -> None:
    """Runs the stage."""
    Stage("data_report", _run, writes=layout.DATA_PAGE).main()


if __name__ == "__main__":
    main()
