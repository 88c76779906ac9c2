"""What the numbers of the score table mean: said by the metric that writes them, carried in metrics_meta.json."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

# models of the literature, by the names that keys give them: a metric's bare name means one of these
PUBLISHED = ("vits16", "vitb32", "vits14", "alexnet", "sface", "buffalo_l")


class Named(Protocol):
    """A model with names, as `src.features.store.MetricModel`, which would bring torch."""

    @property
    def name(self) -> str:
        """What keys of metrics call it."""

    @property
    def title(self) -> str:
        """What texts call it."""


@dataclass(frozen=True)
class Quantity:
    """A number that a metric gives for each image.

    Attributes:
        name: What the score table calls it.
        higher_is_better: As in torchmetrics; None where neither side is, as for a likeness to training photos.
        low: The least value that it can have.
        high: The largest.
        likeness: Whether it is likeness to the subject, of which a share of what held-out photos reach means something.
        model: The name of the model that measures it, for example ``vits16``; empty where none does.
        title: What texts call the model.
    """

    name: str
    higher_is_better: bool | None
    low: float = -math.inf
    high: float = math.inf
    likeness: bool = False
    model: str = ""
    title: str = ""

    @property
    def key(self) -> str:
        """The name with the model's: DVC compares numbers under one key, so two models never share one."""
        return f"{self.name}_{self.model}" if self.model else self.name

    def by(self, model: Named) -> "Quantity":
        """Returns the same, measured by a model."""
        return replace(self, model=model.name, title=model.title)

    def describe(self) -> dict[str, Any]:
        """Returns what reports need, as metrics_meta.json holds it."""
        return {
            "name": self.name,
            "model": self.model,
            "title": self.title,
            "higher_is_better": self.higher_is_better,
        }


class Quantities:
    """The quantities of a run, in the order in which tables show them."""

    def __init__(self, known: Iterable[Quantity]) -> None:
        """Takes them in order."""
        self.known = {quantity.name: quantity for quantity in known}

    @classmethod
    def of(cls, *metas: Mapping[str, Any]) -> "Quantities":
        """Reads what `Quantity.describe` gave; of several runs the first counts.

        Args:
            *metas: The content of each run's metrics_meta.json.

        Returns:
            The quantities.
        """
        found: dict[str, Quantity] = {}
        for meta in metas:
            for entry in meta["quantities"]:
                found.setdefault(entry["name"], Quantity(**entry))
        return cls(found.values())

    def describe(self) -> list[dict[str, Any]]:
        """Returns each, in order, as metrics_meta.json holds it."""
        return [quantity.describe() for quantity in self.known.values()]

    def direction(self, metric: str) -> int:
        """Returns +1 where higher is better, -1 where lower is, 0 where a metric has no better side."""
        found = self.known.get(metric)
        return 0 if found is None or found.higher_is_better is None else 1 if found.higher_is_better else -1

    def arrow(self, metric: str) -> str:
        """Returns ``↑`` where higher is better, ``↓`` where lower is, nothing where a metric has no better side."""
        return {1: "↑", -1: "↓", 0: ""}[self.direction(metric)]

    def verdict(self, metric: str, low: float, high: float) -> str:
        """Says what an interval of differences bears out; every page colours and concludes by this rule alone.

        Args:
            metric: Its name.
            low: Where the interval begins.
            high: Where it ends.

        Returns:
            ``unsure`` where it holds zero, else ``better`` or ``worse``; ``differs`` where a metric has no better side.
        """
        if low <= 0 <= high:
            return "unsure"
        direction = self.direction(metric)
        if not direction:
            return "differs"
        return "better" if direction * low > 0 else "worse"

    def order(self, metrics: Iterable[str]) -> list[str]:
        """Orders metric names: the known ones first, then the others by name."""
        known = list(self.known)
        return sorted(set(metrics), key=lambda name: (known.index(name) if name in known else len(known), name))

    def parent(self, metric: str) -> str:
        """Returns the quantity whose variation a name is, for example ``dino`` of ``dino_train``; empty without one."""
        return max((name for name in self.known if f"{metric}_".startswith(f"{name}_")), key=len, default="")

    def label(self, metric: str) -> str:
        """Names a metric for people, wherever they read it: with the model that measured, unless it is a published one.

        Args:
            metric: For example ``dino_train``.

        Returns:
            For example ``dino_tabletop_train``, and ``dino_train`` where DINO ViT-S/16 measured.
        """
        name = self.parent(metric)
        if not name or self.known[name].model in PUBLISHED:
            return metric
        return f"{self.known[name].key}{metric.removeprefix(name)}"
