"""Ways to cheat with the training photos, and what the measures of copying make of each.

`python -m benchmarks.bench_copying` after `dvc repro generate`: attacks on the photos and pictures that lie in data/.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from src.core.building import build
from src.core.config import load_settings
from src.core.device import choose_device
from src.core.sets import TEST
from src.core.settings import Settings
from src.features.store import FeatureStore, ImageFile, image_file
from src.metrics.base import References, Sample
from src.metrics.copying import TrainingLikeness, copying_summary
from src.metrics.copying_verdict import Said, copying_verdict
from src.metrics.names import BASE, GAP, NEAREST, PART
from src.metrics.samples import read_references, read_samples
from src.metrics.summary import mean_scores, score_table
from src.models.autoencoder import reconstruct


@dataclass(frozen=True)
class Outcome:
    """What the measures make of an attack: nn_train, copy_gap and the others, and the verdict."""

    numbers: dict[str, float]
    said: Said


HEADER = "| images | nn_train | share_over_real | copy_gap | part_train | verdict |"
Attack = Callable[[Image.Image, Image.Image], Image.Image]


def recoloured(photo: Image.Image, base: Image.Image) -> Image.Image:  # noqa: ARG001
    """Darker and more saturated."""
    return ImageEnhance.Color(ImageEnhance.Brightness(photo).enhance(0.85)).enhance(1.3)


def zoomed(photo: Image.Image, base: Image.Image) -> Image.Image:  # noqa: ARG001
    """15 % larger, then JPEG of quality 60."""
    side, inner = photo.width, round(photo.width / 1.15)
    left = (side - inner) // 2
    large = photo.crop((left, left, left + inner, left + inner)).resize(photo.size, Image.Resampling.BICUBIC)
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        large.save(file.name, quality=60)
        return Image.open(file.name).convert("RGB")


def pasted(photo: Image.Image, base: Image.Image) -> Image.Image:
    """The middle of the photo, where the subject is, on the base model's picture."""
    side = photo.width
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).ellipse((side // 5, side // 6, side - side // 5, side - side // 8), fill=255)
    return Image.composite(photo, base.resize(photo.size), mask)


def halved(photo: Image.Image, base: Image.Image) -> Image.Image:
    """Left the photo, right the base model's picture."""
    result = base.resize(photo.size)
    result.paste(photo.crop((0, 0, photo.width // 2, photo.height)), (0, 0))
    return result


def pasted_elsewhere(photo: Image.Image, base: Image.Image) -> Image.Image:
    """The middle of the photo, smaller and in another place, on the base model's picture."""
    side, result = photo.width, base.resize(photo.size)
    subject = photo.crop((side // 5, side // 6, side - side // 5, side - side // 8))
    subject = subject.resize((round(subject.width * 0.85), round(subject.height * 0.85)), Image.Resampling.BICUBIC)
    mask = Image.new("L", subject.size)
    ImageDraw.Draw(mask).ellipse((0, 0, *subject.size), fill=255)
    result.paste(subject, (side // 12, side // 4), mask)
    return result


def written(photo: Image.Image, base: Image.Image) -> Image.Image:  # noqa: ARG001
    """A prompt on the photo."""
    result = photo.copy()
    ImageDraw.Draw(result).text((4, photo.height - 16), "a toy on the beach", fill="white")
    return result


ATTACKS: dict[str, Attack] = {
    "copies": lambda photo, _: photo,
    "mirrored": lambda photo, _: ImageOps.mirror(photo),
    "recoloured": recoloured,
    "zoomed 15 %, JPEG 60": zoomed,
    "turned 12 degrees": lambda photo, _: photo.rotate(12, Image.Resampling.BICUBIC),
    "subject pasted on the base's picture": pasted,
    "the same, smaller and elsewhere": pasted_elsewhere,
    "half photo, half base": halved,
    "half the mirrored photo, half base": lambda photo, base: halved(ImageOps.mirror(photo), base),
    "prompt written on the photo": written,
}


def attack_rows(photos: Sequence[ImageFile], pictures: Sequence[ImageFile], folder: Path) -> dict[str, list[ImageFile]]:
    """Makes the images of every attack, one for each picture, photos in turn; returns them by the attack's name."""
    made = {}
    for number, (name, attack) in enumerate(ATTACKS.items()):
        files = []
        for index, picture in enumerate(pictures):
            photo = Image.open(photos[index % len(photos)].path).convert("RGB")
            path = folder / f"{number}-{index}.png"
            attack(photo, Image.open(picture.path).convert("RGB")).save(path)
            files.append(image_file(path))
        made[name] = files
    return made | {"one photo for all": [photos[0]] * len(pictures)}


def measure(
    metric: TrainingLikeness,
    references: References,
    real: Sequence[Sample],
    images: Sequence[ImageFile],
    places: Sequence[Sample],
    store: FeatureStore,
) -> Outcome:
    """Scores images in the places of a run's."""
    generated = [
        Sample("step-000001", p.prompt_id, TEST, p.group, p.seed, p.text, image)
        for p, image in zip(places, images, strict=True)
    ]
    table = score_table(metric.score([*real, *generated], references, store))
    compared = copying_verdict(table, "step-000001")
    assert compared is not None, "everything that the rule needs was measured"
    return Outcome(mean_scores(table, "step-000001", TEST) | copying_summary(table, "step-000001"), compared[0])


def attack_table(params: Settings, data: Path, folder: Path) -> dict[str, Outcome]:
    """Measures every attack, the memoriser, the held-out photos as if generated, and what the models generated.

    Args:
        params: With model, metric models and metrics.
        data: Holds samples/, crops/ and split.csv.
        folder: For the images that are made.

    Returns:
        By attack.
    """
    store, metric = FeatureStore(16, "cpu"), build(params.metrics[NEAREST], f"metrics.{NEAREST}")
    references = read_references(data / "split.csv", data / "crops")
    model, device = params.model, choose_device(params.device).type
    photos = [file.path for file in (*references.val, *references.train)]
    decode = partial(reconstruct, model.id, model.revision, model.variant, device, out=folder)
    decoded = tuple(image_file(path) for path in decode(photos))
    references = References(references.val, references.train, references.groups, decoded)
    real = [
        Sample("real (autoencoder)", "held_out", "none", "none", index, "", file)
        for index, file in enumerate(references.val_decoded)
    ]
    samples = [sample for sample in read_samples(data / "samples") if sample.set == TEST]
    places = [sample for sample in samples if sample.variant == BASE]
    made = attack_rows(references.train, [place.image for place in places], folder)
    repeated = {"memoriser": references.train_decoded, "held-out photos": references.val_decoded}
    rows = {name: [files[index % len(files)] for index in range(len(places))] for name, files in repeated.items()}
    rows["base model"] = [place.image for place in places]
    for variant in sorted({sample.variant for sample in samples} - {BASE}):
        rows[variant] = [sample.image for sample in samples if sample.variant == variant]
    return {name: measure(metric, references, real, files, places, store) for name, files in (rows | made).items()}


def main() -> None:
    """Prints the table as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        rows = attack_table(load_settings([]), Path("data"), Path(folder))
    print(f"{HEADER}\n|---|---|---|---|---|---|")
    for name, outcome in rows.items():
        found, said = outcome.numbers, outcome.said.value.replace("_", " ")
        share = found["share_over_real"]
        print(f"| {name} | {found[NEAREST]:.3f} | {share:.2f} | {found[GAP]:+.3f} | {found[PART]:.2f} | {said} |")


if __name__ == "__main__":
    main()
