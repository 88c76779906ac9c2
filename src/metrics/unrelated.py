"""What an adapter does to texts that have nothing to do with its subject, image by image against the base model's."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.core.errors import MetricError
from src.core.sets import UNRELATED
from src.features.store import FeatureStore, ImageExtractor, MetricModel
from src.metrics.base import References, Sample, Score
from src.metrics.names import BASE
from src.metrics.quantities import Quantity


@dataclass
class UnrelatedSimilarity:
    """Cosine between an image and the base model's of the same prompt and noise, on texts about other things.

    1 where the adapter changes nothing there. Paired by the seed, so that the base model's own variety does not count,
    as it does in KID.

    Attributes:
        name: The metric's key.
        model: The model that embeds images.
        sets: The sets of samples that it looks at.
    """

    name: str
    model: MetricModel[ImageExtractor]
    sets: Sequence[str] = (UNRELATED,)

    def quantities(self) -> list[Quantity]:
        """Returns the cosine."""
        return [Quantity(self.name, True, -1, 1).by(self.model)]

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:  # noqa: ARG002
        """Scores every sample against the base model's.

        Args:
            samples: At least one.
            references: Not used.
            store: Computes features.

        Returns:
            One row per sample; the base model's own are 1.

        Raises:
            MetricError: An image has none of the base model's beside it, or cannot be embedded.
        """
        features = store.embed_images(self.model, [sample.image for sample in samples])
        rows = list(zip(samples, features, strict=True))
        of_base = {(sample.prompt_id, sample.seed): feature for sample, feature in rows if sample.variant == BASE}
        if missing := sorted({(sample.prompt_id, sample.seed) for sample in samples} - of_base.keys()):
            told = ", ".join(f"{prompt} (number {seed})" for prompt, seed in missing)
            raise MetricError(f"{self.name}: the base model has no image of {told}")
        return [
            Score(sample, self.name, "none", float(feature @ of_base[sample.prompt_id, sample.seed]), "")
            for sample, feature in rows
        ]
