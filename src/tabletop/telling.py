"""Which differences between two toys a metric sees: two alternatives, one of which is the toy that was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from src.features.store import ImageExtractor
from src.pretraining.images import to_unit
from src.tabletop.lookalikes import look_alikes, scenes_of
from src.tabletop.render import render
from src.tabletop.scene import Scene
from src.tabletop.scores import embed
from src.tabletop.sources import OVERSAMPLING
from src.tabletop.subject import CATALOGUE, NAME
from src.tabletop.toys import Part

# where the two that are compared with the first stand
PLACES = ("same background", "other background")


@dataclass(frozen=True)
class Telling:
    """How often each metric is right about one difference.

    Attributes:
        difference: See Lookalike.
        amount: See Lookalike.
        right: Shares of trials, by metric and by whether the background changes too; a half is chance.
    """

    difference: str
    amount: str
    right: dict[str, float]


def tell_apart(
    extractors: Mapping[str, ImageExtractor], perceptual: nn.Module, side: int, trials: int, device: torch.device
) -> list[Telling]:
    """Shows each metric a photo of the subject, and another of it beside the same photo of a look-alike.

    Once the other photo is of the same background and light from another side, and once all of that differs.

    Args:
        extractors: Metrics that embed, by name.
        perceptual: LPIPS.
        side: Pixels.
        trials: Pairs for each difference.
        device: Where the models are.

    Returns:
        A row for each look-alike.
    """
    own: dict[tuple[float, str], tuple[Tensor, Tensor]] = {}
    rows = []
    for other in look_alikes():
        right: dict[str, float] = {}
        for place in PLACES:
            asked_of, shown = _plan(other.seen_from, place, trials)
            if (other.seen_from, place) not in own:
                own[other.seen_from, place] = (
                    _render(asked_of, CATALOGUE[NAME], side),
                    _render(shown, CATALOGUE[NAME], side),
                )
            asked, true = own[other.seen_from, place]
            false = _render(shown, other.parts, side)
            for name, extractor in extractors.items():
                known, first, second = (embed(extractor, pixels, device) for pixels in (asked, true, false))
                right[f"{name}, {place}"] = _share((known * first).sum(1), (known * second).sum(1))
            near, far = (_distances(perceptual, asked, pixels, device) for pixels in (true, false))
            right[f"lpips, {place}"] = _share(-near, -far)
        rows.append(Telling(other.difference, other.amount, right))
    return rows


def _plan(seen_from: float, place: str, trials: int) -> tuple[list[Scene], list[Scene]]:
    """Returns the scenes of what is asked for and of what it is compared with."""
    pairs = scenes_of(seen_from, trials, 0)
    asked = [first for first, _ in pairs]
    if place == PLACES[0]:
        return asked, [replace(first, azimuth=second.azimuth) for first, second in pairs]
    return asked, [second for _, second in pairs]


def _render(scenes: list[Scene], parts: tuple[Part, ...], side: int) -> Tensor:
    return render(scenes, side, side, OVERSAMPLING, {NAME: parts}).permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def _distances(perceptual: nn.Module, first: Tensor, second: Tensor, device: torch.device) -> Tensor:
    return perceptual(to_unit(first, device), to_unit(second, device)).flatten().cpu()


def _share(true: Tensor, false: Tensor) -> float:
    """Returns how often the first is greater; equals count half."""
    return float(((true > false).float() + 0.5 * (true == false).float()).mean())
