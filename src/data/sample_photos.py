"""Makes the sample photos: a plush bear of spheres on coloured grounds, stored as a phone stores photos.

They are HEIC files with rotated sensors, EXIF with an owner and a place, a near-duplicate pair and small subjects,
so that a fresh clone runs on what users have. Drawn by a few lines of ray casting; nothing is photographed.
"""

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from src.core.files import write_bytes
from src.core.seeding import derive_seed

WIDTH, HEIGHT, OVERSAMPLING = 1024, 768, 2
QUALITY = 55
OWNER = "PII-SENTINEL-SAMPLE"
GROUNDS = ((0.55, 0.38, 0.24), (0.30, 0.50, 0.28), (0.75, 0.75, 0.78), (0.80, 0.68, 0.45))
LIGHT = np.array([0.45, 0.80, 0.40], dtype=np.float32) / np.linalg.norm([0.45, 0.80, 0.40])
# centre x y z, radius, red green blue: body, head, ears, muzzle, eyes, nose, belly, feet, star on the belly
BEAR = np.array(
    [
        [0.00, 0.55, 0.00, 0.55, 0.88, 0.48, 0.15],
        [0.00, 1.30, 0.05, 0.42, 0.88, 0.48, 0.15],
        [-0.32, 1.66, 0.00, 0.17, 0.88, 0.48, 0.15],
        [0.32, 1.66, 0.00, 0.17, 0.20, 0.55, 0.65],
        [0.00, 1.20, 0.38, 0.17, 0.96, 0.87, 0.70],
        [-0.15, 1.40, 0.40, 0.065, 0.05, 0.05, 0.05],
        [0.15, 1.40, 0.40, 0.065, 0.05, 0.05, 0.05],
        [0.00, 1.25, 0.55, 0.055, 0.05, 0.05, 0.05],
        [0.00, 0.55, 0.22, 0.40, 0.96, 0.87, 0.70],
        [-0.30, 0.17, 0.35, 0.20, 0.88, 0.48, 0.15],
        [0.30, 0.17, 0.35, 0.20, 0.88, 0.48, 0.15],
        [0.12, 0.62, 0.58, 0.09, 0.85, 0.12, 0.20],
    ],
    dtype=np.float32,
)


@dataclass(frozen=True)
class Shot:
    """How one photo is taken.

    Attributes:
        azimuth: Of the camera around the bear, radians; 0 is its front.
        distance: From the bear, in its own widths.
        pitch: How far the camera looks down, radians.
        aside: How far the bear is off the centre, in photo widths.
        ground: Index into GROUNDS.
        quarter_turns: How the sensor was held; HEIC stores it as irot.
        noise_seed: Of the sensor's noise.
    """

    azimuth: float
    distance: float
    pitch: float
    aside: float
    ground: int
    quarter_turns: int
    noise_seed: int


def plan_shots(count: int, seed: int) -> Iterator[Shot]:
    """Plans the photos; the second repeats the first with other noise, and every fifth shows a small bear."""
    for index in range(count):
        random = np.random.default_rng(derive_seed(seed, "shot", max(index, 1)))
        far = index % 5 == 4
        yield Shot(
            azimuth=float(random.uniform(-0.9, 0.9)),
            distance=float(random.uniform(6.5, 8.0) if far else random.uniform(4.0, 5.4)),
            pitch=float(random.uniform(0.12, 0.6)),
            aside=float(random.uniform(-0.18, 0.18)),
            ground=int(random.integers(len(GROUNDS))),
            quarter_turns=int(random.integers(4)),
            noise_seed=derive_seed(seed, "noise", index),
        )


def render(shot: Shot) -> Image.Image:
    """Ray-casts a shot.

    Args:
        shot: What to draw.

    Returns:
        HEIGHT x WIDTH, RGB uint8, upright.
    """
    rows, columns = HEIGHT * OVERSAMPLING, WIDTH * OVERSAMPLING
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    forward = np.array([-np.sin(shot.azimuth), -np.tan(shot.pitch), -np.cos(shot.azimuth)], dtype=np.float32)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 1, 0]).astype(np.float32)
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    eye = np.array([0, 0.95, 0], dtype=np.float32) - forward * shot.distance
    rays = (
        forward
        + ((x - columns / 2) / columns - shot.aside)[..., None] * right * 0.9
        + ((rows / 2 - y) / columns)[..., None] * up * 0.9
    )
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    colour = _shade(eye, rays.reshape(-1, 3), np.array(GROUNDS[shot.ground], dtype=np.float32))
    picture = colour.reshape(HEIGHT, OVERSAMPLING, WIDTH, OVERSAMPLING, 3).mean((1, 3))
    picture += np.random.default_rng(shot.noise_seed).normal(0, 0.008, picture.shape)
    return Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8))


def _shade(eye: np.ndarray, rays: np.ndarray, ground: np.ndarray) -> np.ndarray:
    nearest, owner = _hit(np.broadcast_to(eye, rays.shape), rays)
    with np.errstate(divide="ignore"):
        floor = np.where(rays[:, 1] < 0, -eye[1] / rays[:, 1], np.inf)
    on_floor = floor < nearest
    distance = np.minimum(np.minimum(nearest, floor), 60)[:, None]
    points = eye + rays * distance
    normal = np.where(on_floor[:, None], np.array([0, 1, 0], dtype=np.float32), (points - BEAR[owner, :3]))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    tiles = (np.floor(points[:, 0] * 1.5) + np.floor(points[:, 2] * 1.5)) % 2
    base = np.where(on_floor[:, None], ground * (0.88 + 0.12 * tiles[:, None]), BEAR[owner, 4:])
    shadowed, _ = _hit(points + normal * 1e-3, np.broadcast_to(LIGHT, rays.shape))
    lambert = np.clip(normal @ LIGHT, 0, 1) * np.where(np.isfinite(shadowed), 0.25, 1)
    lit = base * (0.35 + 0.75 * lambert[:, None])
    wall = np.array(colorsys.hls_to_rgb(0.6, 0.72, 0.15), dtype=np.float32)
    fog = np.clip(distance / 40, 0, 1)
    seen = np.isfinite(nearest) | np.isfinite(floor)
    return np.where(seen[:, None], lit * (1 - fog) + wall * fog, wall)


def _hit(origins: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nearest = np.full(len(rays), np.inf, dtype=np.float32)
    owner = np.zeros(len(rays), dtype=np.int64)
    for index, (x, y, z, radius, *_) in enumerate(BEAR):
        offset = origins - np.array([x, y, z], dtype=np.float32)
        half = np.einsum("ij,ij->i", offset, rays)
        inside = half**2 - np.einsum("ij,ij->i", offset, offset) + radius**2
        with np.errstate(invalid="ignore"):
            distance = np.where(inside > 0, -half - np.sqrt(inside), np.inf)
        closer = (distance > 1e-3) & (distance < nearest)
        nearest[closer], owner[closer] = distance[closer], index
    return nearest, owner


def write_sample_photos(folder: Path, count: int, seed: int) -> None:
    """Writes the photos.

    Args:
        folder: Where to.
        count: How many.
        seed: Of viewpoints and noise.
    """
    # orientation of EXIF for a sensor held that many quarter turns clockwise of upright
    orientations = (1, 8, 3, 6)
    for index, shot in enumerate(plan_shots(count, seed)):
        sensor = render(shot).rotate(-90 * shot.quarter_turns, expand=True)
        exif = Image.Exif()
        exif[0x0112], exif[0x013B] = orientations[shot.quarter_turns], OWNER
        exif.get_ifd(0x8825).update({1: "N", 2: (55.0, 45.0, 7.0), 3: "E", 4: (37.0, 37.0, 4.0)})
        heif = pillow_heif.from_pillow(sensor)
        stream = BytesIO()
        heif.save(stream, quality=QUALITY, exif=exif.tobytes())
        write_bytes(folder / f"IMG_{4100 + index}.HEIC", stream.getvalue())
