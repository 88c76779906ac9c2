"""Whether an image shows the subject itself: it has to be nearer to it than to each of its look-alikes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from src.core.errors import MetricError
from src.core.files import list_files
from src.core.sets import DEV, PHOTOS, TEST
from src.features.store import Features, FeatureStore, ImageExtractor, ImageFile, MetricModel, image_file
from src.metrics.base import References, Sample, Score
from src.metrics.quantities import Quantity
from src.metrics.scores import mean_similarity

# the folder that holds the subject's own photos, taken as the look-alikes' were
OWN = "own"


@dataclass
class LookalikeRank:
    """1 for an image whose nearest toy is the subject, 0 for one that is nearer to a look-alike; the mean is a share.

    A high likeness alone says little where everything that is teal and has ears scores high: only against toys that
    differ by one marking does a number say that the marking was learnt. Chance is 1 / (K + 1) for K look-alikes.

    Attributes:
        name: The metric's key.
        model: The model that embeds images.
        folder: A folder of photos for each look-alike and one called OWN, all in the same places and light.
        sets: The sets of samples that it looks at.
    """

    name: str
    model: MetricModel[ImageExtractor]
    folder: str
    sets: Sequence[str] = (DEV, TEST, PHOTOS)

    def quantities(self) -> list[Quantity]:
        """Returns the rank, 0 or 1."""
        return [Quantity(self.name, True, 0, 1).by(self.model)]

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:  # noqa: ARG002
        """Scores every sample.

        Args:
            samples: At least one.
            references: Not used: these photos are others.
            store: Computes features.

        Returns:
            One row per sample.

        Raises:
            MetricError: There are no photos of the subject or of a look-alike, or one cannot be embedded.
        """
        photos = read_photos(Path(self.folder))
        toys = {name: store.embed_images(self.model, files) for name, files in photos.items()}
        features = store.embed_images(self.model, [sample.image for sample in samples])
        first = ranks_first(features, toys)
        return [
            Score(sample, self.name, "none", float(value), "") for sample, value in zip(samples, first, strict=True)
        ]


def ranks_first(features: Features, toys: dict[str, Features]) -> list[bool]:
    """Says of each image whether the subject is strictly its nearest toy, by the mean cosine with a toy's photos.

    Args:
        features: Unit vectors, (N, D).
        toys: Of each toy's photos, (R, D); one is OWN.

    Returns:
        N answers.
    """
    own = mean_similarity(features, toys[OWN])
    others = [mean_similarity(features, photos) for name, photos in toys.items() if name != OWN]
    return [all(own[row] > other[row] for other in others) for row in range(len(features))]


def read_photos(folder: Path) -> dict[str, list[ImageFile]]:
    """Finds the photos of every toy.

    Args:
        folder: With a folder for each.

    Returns:
        Photos by the toy's name, in order.

    Raises:
        MetricError: OWN or every look-alike is missing, or a toy has another number of photos than the subject.
        EmptyDatasetError: A folder has none.
    """
    found = {
        place.name: [image_file(path) for path in list_files(place, ".png")] for place in sorted(folder.glob("*/"))
    }
    if OWN not in found or len(found) < 2:
        raise MetricError(
            f"{folder}: expected a folder {OWN} and one for each look-alike, found {', '.join(found) or 'nothing'}; "
            "for the demo subject `python -m src.commands.tabletop_lookalikes`"
        )
    for name, files in found.items():
        if len(files) != len(found[OWN]):
            raise MetricError(f"{folder / name}: {len(files)} photos, expected {len(found[OWN])} as of {OWN}")
    return found
