"""Ways in which people repeat a photo, each as a function of the photo and of chance."""

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

Change = Callable[[Image.Image, np.random.Generator], Image.Image]
# A re-saved copy has so many times the pixels, at this quality of JPEG.
SMALLER, QUALITY = 0.8, 75
# Noise of the sensor, levels; brightness that a camera's metering changes.
SENSOR, METERING = 3.0, 0.08


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Saves and reads an image as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Cuts shares of the width and height off the sides."""
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


def move(
    image: Image.Image, right: float, down: float, degrees: float, zoom: float, beyond: int = cv2.BORDER_CONSTANT
) -> Image.Image:
    """Moves the picture inside its frame, by shares of the longer side; what leaves the frame is lost."""
    width, height = image.size
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    turn[:, 2] += right * max(image.size), down * max(image.size)
    return Image.fromarray(cv2.warpAffine(np.asarray(image), turn, (width, height), borderMode=beyond))


def burst(image: Image.Image, motion: float, chance: np.random.Generator) -> Image.Image:
    """Takes a frame of a hand-held burst: a window of the photo that moves, turns and zooms by up to `motion`.

    Two frames differ by up to `motion` of the longer side in x and y, `motion` of a radian and `motion` in size, and
    in brightness and noise.
    """
    right, down, turn, zoom = chance.uniform(-motion / 2, motion / 2, 4)
    moved = move(image, right, down, np.degrees(turn), 1 + zoom, cv2.BORDER_REFLECT)
    rim = 1.5 * motion
    frame = ImageEnhance.Brightness(cut(moved, rim, rim, rim, rim)).enhance(chance.uniform(1 - METERING, 1 + METERING))
    pixels = np.asarray(frame) + chance.normal(0, SENSOR, (frame.height, frame.width, 3))
    return jpeg(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), 85)


def _one_side(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    sides = np.zeros(4)
    sides[chance.integers(4)] = 0.1
    return cut(image, *sides)


def _four_to_five(image: Image.Image, _: np.random.Generator) -> Image.Image:
    size = (image.height * 4 // 5, image.height) if image.width >= image.height else (image.width, image.width * 5 // 4)
    return ImageOps.fit(image, size, centering=(0.5, 0.5))


def _resaved(change: Change) -> Change:
    def resave(image: Image.Image, chance: np.random.Generator) -> Image.Image:
        changed = change(image, chance)
        size = (round(SMALLER * changed.width), round(SMALLER * changed.height))
        return jpeg(changed.resize(size, Image.Resampling.BICUBIC), QUALITY)

    return resave


KINDS: dict[str, Change] = {
    name: _resaved(change)
    for name, change in {
        "5 % cut off each side": lambda image, _: cut(image, 0.05, 0.05, 0.05, 0.05),
        "10 % cut off one side": _one_side,
        "4:5": _four_to_five,
        "shifted 4 %": lambda image, chance: move(image, *(0.04 * chance.choice((-1, 1), 2)), 0, 1),
        "turned 3 degrees": lambda image, chance: move(image, 0, 0, 3 * chance.choice((-1, 1)), 1),
        "mirrored": lambda image, _: ImageOps.mirror(image),
        "mirrored, 5 % cut": lambda image, _: cut(ImageOps.mirror(image), 0.05, 0.05, 0.05, 0.05),
        "white border 6 %": lambda image, _: ImageOps.expand(image, round(0.06 * max(image.size)), "white"),
        "black and white": lambda image, _: image.convert("L").convert("RGB"),
    }.items()
}
BURSTS = (0.01, 0.03, 0.05)
