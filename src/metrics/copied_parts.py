"""Parts of photos in generated images: half a photo, or the photo's subject on another picture; compares pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from src.features.store import Features, ImageFile, open_rgb

# pictures are compared small, so that noise, JPEG and the autoencoder's blur matter little; measured on 12 and 8 pixels
SIDE_PX, TILE_PX, STEP_PX = 32, 12, 2
# root mean square of a tile's gradients, levels of 255, below which it is flat and resembles every other
FLAT = 3.0


def part_likeness(images: Sequence[ImageFile], photos: Sequence[ImageFile]) -> Features:
    """Finds the tile of each image that is most like the same place of a photo, mirrored photos among them.

    The idea of comparing tiles is of Extracting Training Data from Diffusion Models (Carlini et al., 2023),
    arXiv:2301.13188, section 4.2.1; here the cosine of tiles' gradients, which other light and colour hardly change,
    and the most similar tile instead of the least.

    Args:
        images: N images.
        photos: R photos, at least one.

    Returns:
        (N,), in [-1, 1]: 1 where a tile is a photo's; 0 where an image is flat. A part that was moved, enlarged or
        turned is not found.
    """
    sides = [_pixels(file) for file in photos]
    of_photos = np.stack([_tiles(pixels) for side in sides for pixels in (side, side[:, ::-1])])
    return np.array([float(np.einsum("td,mtd->mt", _tiles(_pixels(file)), of_photos).max()) for file in images])


def _pixels(file: ImageFile) -> Features:
    return np.asarray(open_rgb(file.path).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX), dtype=np.float64)


def _tiles(pixels: Features) -> Features:
    """Returns the gradients of every tile as unit vectors, (tiles, D); those of a flat one are zero."""
    across, down = np.diff(pixels, axis=1)[:-1], np.diff(pixels, axis=0)[:, :-1]
    windows = sliding_window_view(np.concatenate([across, down], axis=2), (TILE_PX, TILE_PX), axis=(0, 1))
    tiles = windows[::STEP_PX, ::STEP_PX].reshape(-1, windows.shape[2] * TILE_PX**2)
    energy = np.sqrt((tiles**2).mean(axis=1, keepdims=True))
    units: Features = np.where(energy > FLAT, tiles / np.maximum(energy, FLAT), 0) / np.sqrt(tiles.shape[1])
    return units
