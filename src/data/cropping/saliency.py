"""Crops around what stands out in a photo; needs no weights."""

from PIL import Image

from src.core.errors import ConfigError
from src.data.cropping.box import Box, square_box
from src.data.cropping.windows import most_salient_window

# Scores of the best window on 45 phone photos: from 0.175 up 38 of 39 windows are at the subject (and one around it),
# up to 0.151 only 3 of 6 (the others: a white dog's head, its nose, a lit window).
DOUBTFUL, SURE = 0.15, 0.165


class SaliencyCropper:
    """Keeps a square around the most salient window; the less it stands out, the more of the photo.

    Attributes:
        name: What crops.csv calls it.

    Args:
        margin: The square's side over the window's longer side, >= 1.
        min_side: The smallest square, as a share of the photo's shorter side, in [0, 1].

    Raises:
        ConfigError: A value is out of range.
    """

    name = "saliency"

    def __init__(self, margin: float, min_side: float) -> None:
        if not margin >= 1 or not 0 <= min_side <= 1:
            raise ConfigError(f"cropper: margin={margin} (expected >= 1), min_side={min_side} (in [0, 1])")
        self.margin = margin
        self.min_side = min_side

    def find(self, image: Image.Image) -> Box:
        """Returns a square around the subject, or the largest centred square where nothing stands out.

        Args:
            image: Upright RGB photo.

        Returns:
            The square, with a warning where it was widened for doubt.
        """
        short = min(image.size)
        middle = (image.width / 2, image.height / 2)
        window = most_salient_window(image)
        if window is None:
            return square_box(middle, short, image.size, "too narrow to look for the subject: kept the middle")
        side = self.margin * max(window.right - window.left, window.bottom - window.top)
        side = min(max(side, self.min_side * short), short)
        centre = ((window.left + window.right) / 2, (window.top + window.bottom) / 2)
        close = square_box(centre, side, image.size, "")
        doubt = min(max((SURE - window.score) / (SURE - DOUBTFUL), 0.0), 1.0)
        if doubt == 0:
            return close
        mixed = [
            (1 - doubt) * found + doubt * wide
            for found, wide in zip(
                ((close.left + close.right) / 2, (close.top + close.bottom) / 2), middle, strict=True
            )
        ]
        warning = "the subject hardly stands out: kept more of the photo"
        return square_box((mixed[0], mixed[1]), (1 - doubt) * close.side + doubt * short, image.size, warning)
