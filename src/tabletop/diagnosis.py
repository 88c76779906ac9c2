"""Where an embedded base loses what renders have: in its autoencoder, or in what it renders on the latents.

Symbols: N images, S side in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from src.core.sets import TEST
from src.features.store import ImageExtractor
from src.models.base import BaseModel
from src.pretraining.autoencoder import restore
from src.pretraining.fid import FeatureExtractor, frechet_distance
from src.pretraining.images import ImageSet, to_unit
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt
from src.tabletop.captions import plain_caption
from src.tabletop.classifier import Classifier
from src.tabletop.scene import Triple
from src.tabletop.scores import embed, read_right, to_pixels

# ITU-R BT.601
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Restored:
    """What an autoencoder leaves of a set.

    Attributes:
        psnr_db: Mean over images.
        lpips: Mean distance to the originals.
        sharpness: Of the restored, as a share of the originals'.
        likeness: Mean cosine of restored images with the other half of the set, as a share of the originals' own; None
            where the set shows more than one toy.
    """

    psnr_db: float
    lpips: float
    sharpness: float
    likeness: float | None


@dataclass(frozen=True)
class Generated:
    """What a base generates with one setting.

    Attributes:
        steps: Of the sampler.
        guidance: Scale.
        right: Shares of images whose class, colour and background are read right, and all three.
        sharpness: As a share of renders'.
        distance: ``fid_tabletop`` to renders; None for too few images.
    """

    steps: int
    guidance: float
    right: dict[str, float]
    sharpness: float
    distance: float | None


def sharpness(pixels: Tensor) -> Tensor:
    """Measures each image: the variance of its luma's Laplacian.

    Paper: Diatom Autofocusing in Brightfield Microscopy: a Comparative Study (Pech-Pacheco et al., 2000), ICPR.

    Args:
        pixels: (N, 3, S, S), uint8.

    Returns:
        (N,), float32; in squares of 1/255.
    """
    luma = (pixels.float() * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).view(1, 1, 3, 3)
    return functional.conv2d(luma, kernel).flatten(1).var(1)


@torch.no_grad()
def diagnose_autoencoder(
    vae: AutoencoderKL, images: ImageSet, perceptual: nn.Module, extractor: ImageExtractor, device: torch.device
) -> Restored:
    """Measures reconstructions.

    Args:
        vae: On the device.
        images: What is restored; the second half is what both are compared with.
        perceptual: LPIPS.
        extractor: DINO.
        device: Where they are.

    Returns:
        The measures.
    """
    restored = restore(vae, images.pixels, device)
    error = (restored.float() - images.pixels.float()).square().flatten(1).mean(1)
    distances = [
        perceptual(to_unit(one, device), to_unit(other, device)).flatten().cpu()
        for one, other in zip(restored.split(32), images.pixels.split(32), strict=True)
    ]
    likeness = None
    if len(images.classes) == 1:
        half = len(images) // 2
        own, through = embed(extractor, images.pixels, device), embed(extractor, restored[:half], device)
        likeness = float((through @ own[half:].T).mean() / (own[:half] @ own[half:].T).mean())
    return Restored(
        psnr_db=float((10 * torch.log10(255**2 / error)).mean()),
        lpips=float(torch.cat(distances).mean()),
        sharpness=float(sharpness(restored).mean() / sharpness(images.pixels).mean()),
        likeness=likeness,
    )


def diagnose_sampling(
    base: BaseModel,
    settings: SamplingSettings,
    wanted: Sequence[Triple],
    renders: ImageSet,
    classifier: Classifier,
    features: FeatureExtractor,
) -> Generated:
    """Renders what is asked for and measures it.

    Args:
        base: What renders.
        settings: How.
        wanted: Class, colour and background of each image.
        renders: Of the world, to compare with.
        classifier: Reads them.
        features: Of the distance.

    Returns:
        The measures.
    """
    jobs = [Job(Prompt("-".join(triple), TEST, "diagnosis", ""), plain_caption(*triple), 0) for triple in wanted]
    pixels = torch.stack([to_pixels(image) for _, image in sample(base, replace(settings, seed=0), jobs)])
    enough = min(len(pixels), len(renders)) > features.dimensions
    both = (
        [
            torch.cat([features.extract(part, base.device) for part in side.split(50)])
            for side in (renders.pixels, pixels)
        ]
        if enough
        else []
    )
    return Generated(
        steps=settings.num_inference_steps,
        guidance=settings.guidance_scale,
        right=read_right(classifier, pixels, list(wanted), base.device),
        sharpness=float(sharpness(pixels).mean() / sharpness(renders.pixels).mean()),
        distance=frechet_distance(*both) if enough else None,
    )


def tables(restored: dict[tuple[str, str], Restored], rendered: Sequence[Generated]) -> str:
    """Returns both tables in Markdown, as docs/tabletop.md has them."""
    lines = [
        "| autoencoder | pictures | PSNR, dB | LPIPS | sharpness of renders' | dino of its own |",
        "|---|---|---|---|---|---|",
        *(
            f"| {name} | {pictures} | {row.psnr_db:z.1f} | {row.lpips:z.3f} | {row.sharpness:.0%} | "
            f"{'' if row.likeness is None else format(row.likeness, '.2f')} |"
            for (name, pictures), row in restored.items()
        ),
        "",
        "| steps | guidance | class | colour | background | sharpness of renders' | `fid_tabletop` |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row.steps} | {row.guidance:g} | {row.right['name']:.0%} | {row.right['colour']:.0%} | "
            f"{row.right['background']:.0%} | {row.sharpness:.0%} | "
            f"{'too few' if row.distance is None else format(row.distance, '.1f')} |"
            for row in rendered
        ),
    ]
    return "\n".join(lines)
