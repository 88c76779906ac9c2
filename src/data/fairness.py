"""What speaks against a split as a fair test: too few photos or groups, photos that hardly show the subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from src.data.splitting import FEW_GROUPS, Side

Kind = Literal["few_photos", "few_groups", "val_unseen", "train_unseen", "val_doubtful"]

# Fewer photos leave one or two to measure on, whatever the share that is held out.
FEW_PHOTOS = 10
# Of the crop; a square around a subject that was found holds ten times as much of it.
LEAST_SHARE = 0.03


@dataclass(frozen=True)
class SplitPhoto:
    """What the split knows of a photo.

    Attributes:
        source: Its path in data/raw.
        group: Its near-duplicate group.
        side: Where it fell.
        subject_share: Of the crop, None where the cropper has no mask.
        warning: The cropper's, or empty.
    """

    source: str
    group: str
    side: Side
    subject_share: float | None
    warning: str

    @property
    def is_unseen(self) -> bool:
        """Whether the crop shows next to none of the subject, as far as the cropper can tell."""
        if self.subject_share is None:
            return bool(self.warning)
        return self.subject_share < LEAST_SHARE


@dataclass(frozen=True)
class Concern:
    """One thing that speaks against the split.

    Attributes:
        kind: What.
        count: Of the photos or groups that it speaks of.
        sources: The photos by name, where it speaks of some only.
    """

    kind: Kind
    count: int
    sources: tuple[str, ...] = ()


def concerns(photos: Sequence[SplitPhoto]) -> list[Concern]:
    """Lists what speaks against a split.

    Args:
        photos: All photos of both sides.

    Returns:
        What is wrong with the whole set first, then the photos that are meant.
    """
    found = []
    if len(photos) < FEW_PHOTOS:
        found.append(Concern("few_photos", len(photos)))
    groups = {photo.group for photo in photos if photo.side == "val"}
    if len(groups) < FEW_GROUPS:
        found.append(Concern("few_groups", len(groups)))
    chosen: dict[Kind, list[str]] = {
        "val_unseen": [photo.source for photo in photos if photo.side == "val" and photo.is_unseen],
        "train_unseen": [photo.source for photo in photos if photo.side == "train" and photo.is_unseen],
        "val_doubtful": [
            photo.source for photo in photos if photo.side == "val" and photo.warning and not photo.is_unseen
        ],
    }
    found.extend(Concern(kind, len(sources), tuple(sources)) for kind, sources in chosen.items() if sources)
    return found
