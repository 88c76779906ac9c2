"""What goes into each step, as a function of (seed, step, slot): resuming needs no position and no stream.

A step has `batch_size` slots over all processes and accumulation steps together, so that the same seed means the
same samples however the work is spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from src.core.seeding import derive_seed
from src.noise.process import NoiseProcess


@dataclass(frozen=True)
class LatentSet:
    """Images as latent posteriors, with their captions.

    Attributes:
        ids: N names.
        mean: (V, N, C, h, w), scaled; V is 1, or 2 when the mirrored images are there as well.
        std: Like `mean`.
        captions: N texts.
        size_px: Height and width before resizing, (N, 2), float32.
        cells: How much each latent cell counts, (V, N, 1, h, w), of mean 1 in each image; None for all alike.
    """

    ids: list[str]
    mean: Tensor
    std: Tensor
    captions: list[str]
    size_px: Tensor
    cells: Tensor | None


@dataclass(frozen=True)
class Batch:
    """Some slots of a step, on the CPU.

    Attributes:
        latents: A draw from the posterior, (B, C, h, w).
        noise: Standard normal, with an offset if the plan has one, like `latents`.
        time: (B,), as the model's noise process counts it.
        captions: B texts, empty where caption dropout struck.
        size_px: (B, 2), float32.
        cells: (B, 1, h, w), float32; see LatentSet.
    """

    latents: Tensor
    noise: Tensor
    time: Tensor
    captions: list[str]
    size_px: Tensor
    cells: Tensor | None


def generator(seed: int, *purpose: str | float) -> torch.Generator:
    """Returns a CPU generator for one purpose; see derive_seed."""
    return torch.Generator("cpu").manual_seed(derive_seed(seed, *purpose))


@lru_cache(maxsize=8)
def epoch_order(count: int, seed: int, *purpose: str | int) -> Tensor:
    """Returns the order of an epoch, a function of seed and purpose alone.

    Args:
        count: Items per epoch.
        seed: The run's seed.
        *purpose: Of the generate; the epoch's number is a part of it.

    Returns:
        A permutation of [0, count), int64.
    """
    return torch.randperm(count, generator=generator(seed, *purpose))


def pick_item(seed: int, purpose: str, position: int, count: int) -> int:
    """Returns the item at a position of the endless sequence of shuffled epochs.

    Args:
        seed: The run's seed.
        purpose: Which set of items.
        position: From 0.
        count: Items per epoch.

    Returns:
        An index in [0, count).
    """
    epoch, offset = divmod(position, count)
    return int(epoch_order(count, seed, "order", purpose, epoch)[offset])


def sample_batch(
    data: LatentSet, purpose: str, step: int, slots: Sequence[int], batch_size: int, plan: "SamplingPlan"
) -> Batch:
    """Samples some slots of a step.

    Args:
        data: The images.
        purpose: ``instance`` or ``class``: the two draw independently.
        step: From 0.
        slots: Which of the step's slots, each in [0, batch_size).
        batch_size: Slots per step.
        plan: What is random.

    Returns:
        The batch, in the order of `slots`.
    """
    rows = []
    for slot in slots:
        random = generator(plan.seed, purpose, step, slot)
        item = pick_item(plan.seed, purpose, step * batch_size + slot, len(data.ids))
        view = int(torch.randint(data.mean.shape[0], (1,), generator=random))
        time = plan.process.sample_time(random)
        mean = data.mean[view, item]
        latents = mean + data.std[view, item] * torch.randn(mean.shape, generator=random)
        noise = torch.randn(mean.shape, generator=random)
        dropped = bool(torch.rand(1, generator=random) < plan.caption_dropout)
        if plan.noise_offset:
            noise = noise + plan.noise_offset * torch.randn(len(mean), 1, 1, generator=random)
        cells = torch.ones(()) if data.cells is None else data.cells[view, item]
        rows.append((latents, noise, time, "" if dropped else data.captions[item], data.size_px[item], cells))
    columns = zip(*rows, strict=True)
    all_latents, noises, times, captions, sizes, all_cells = map(list, columns)
    return Batch(
        torch.stack(all_latents),
        torch.stack(noises),
        torch.cat(times),
        captions,
        torch.stack(sizes),
        None if data.cells is None else torch.stack(all_cells),
    )


def cell_weights(batches: Sequence[Batch], device: torch.device) -> Tensor | None:
    """Returns how much each latent cell of several batches counts, as of LatentSet; None where all count alike."""
    if all(batch.cells is None for batch in batches):
        return None
    alike = [torch.ones_like(batch.latents[:, :1]) for batch in batches]
    known = [ones if batch.cells is None else batch.cells for batch, ones in zip(batches, alike, strict=True)]
    return torch.cat(known).to(device, non_blocking=True)


@dataclass(frozen=True)
class SamplingPlan:
    """What is random in a batch.

    Attributes:
        seed: The run's seed.
        process: Of the model's noise.
        caption_dropout: Probability of an empty caption, which keeps classifier-free guidance working.
        noise_offset: Deviation of a number that is added to all of a channel's noise, >= 0: Diffusion with Offset Noise
            (Guttenberg, 2023), www.crosslabs.org/blog/diffusion-with-offset-noise. Models whose last step still shows
            the image's mean learn to change it so.
    """

    seed: int
    process: NoiseProcess
    caption_dropout: float
    noise_offset: float
