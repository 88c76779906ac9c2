"""Measures a photo: how sharp it is, and a perceptual hash by which photos that may be near-duplicates are found."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONG_SIDE = 512
HASH_SIDE, HASH_SOURCE = 8, 32


def grey_version(image: Image.Image) -> NDArray[np.float64]:
    """Scales a photo to a fixed size, so that measures of different cameras compare.

    Args:
        image: Mode RGB.

    Returns:
        (h, w), grey in [0, 255], the longer side 512.
    """
    scale = LONG_SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(small.convert("L"), dtype=np.float64)


def sharpness(grey: NDArray[np.float64]) -> float:
    """Computes the variance of the Laplacian (Pech-Pacheco et al., 2000, "Diatom autofocusing").

    Args:
        grey: (h, w) in [0, 255].

    Returns:
        0 for a flat picture, below about 50 for a blurred one, rounded to 3 decimals.
    """
    return round(float(laplacian(grey).var()), 3)


def laplacian(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the Laplacian of a picture, (h, w), with the edges' pixels repeated beyond them."""
    padded = np.pad(grey, 1, mode="edge")
    return padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * grey


def perceptual_hash(grey: NDArray[np.float64]) -> int:
    """Computes the DCT hash (Zauner, 2010, "Implementation and benchmarking of perceptual image hash functions").

    Args:
        grey: (h, w) in [0, 255].

    Returns:
        64 bits: which of the 8 x 8 lowest frequencies exceed their median.
    """
    source = Image.fromarray(grey.astype(np.float32)).resize((HASH_SOURCE, HASH_SOURCE), Image.Resampling.LANCZOS)
    angle = np.pi * (2 * np.arange(HASH_SOURCE) + 1) / (2 * HASH_SOURCE)
    basis = np.cos(np.arange(HASH_SIDE)[:, None] * angle[None, :])
    # Rounding takes away what differs between processors; a flat picture gets zero.
    low = np.round(basis @ np.asarray(source, dtype=np.float64) @ basis.T, 3)
    bits = (low > np.median(low)).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)
