"""Crops around the largest face."""

import cv2
import numpy as np
from PIL import Image

from src.core.errors import BadPhotoError
from src.core.weights import find_weight_file
from src.data.cropping.box import Box, square_box

# Faces from 10 to 300 pixels are found (the model's card); larger photos are shrunk for the search.
SEARCH_PX = 960
# Overlapping finds of one face, and how many candidates are compared: the values of OpenCV's own demo.
NMS_THRESHOLD, TOP_K = 0.3, 5000


class FaceCropper:
    """Keeps a square around the largest face.

    Paper: YuNet: A Tiny Millisecond-level Face Detector (Wu et al., Machine Intelligence Research, 2023).

    Attributes:
        name: What crops.csv calls it.

    Args:
        id: A folder, or a hub id.
        revision: The pinned commit on the hub; None for a folder.
        file: The ONNX file in it.
        sha256: The file's content hash; None skips the check.
        margin: The square's side over the face's longer side, >= 1.
        min_score: The least confidence of a face, in [0, 1].
    """

    name = "face"

    def __init__(
        self,
        id: str,  # noqa: A002 - the key's name in every config group
        revision: str | None,
        file: str,
        sha256: str | None,
        margin: float,
        min_score: float,
    ) -> None:
        weights = find_weight_file(id, revision, file, sha256)
        self.margin = margin
        self.min_score = min_score
        self.detector = cv2.FaceDetectorYN.create(str(weights), "", (320, 320), min_score, NMS_THRESHOLD, TOP_K)

    def find(self, image: Image.Image) -> Box:
        """Returns a square around the largest face.

        Args:
            image: Upright RGB photo.

        Returns:
            The square; it has all of the face, unless the face is larger than the photo's shorter side.

        Raises:
            BadPhotoError: There is no face.
        """
        scale = min(1.0, SEARCH_PX / max(image.size))
        small = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BILINEAR
        )
        self.detector.setInputSize(small.size)
        faces = self.detector.detect(np.ascontiguousarray(np.asarray(small)[..., ::-1]))[1]
        if faces is None:
            raise BadPhotoError(f"no face with a confidence of {self.min_score} or more")
        # Columns: x, y, width, height, ten landmark coordinates, score. Ties go to the leftmost.
        x, y, width, height = max((tuple(face[:4]) for face in faces), key=lambda face: (face[2] * face[3], -face[0]))
        middle = ((x + width / 2) / scale, (y + height / 2) / scale)
        return square_box(middle, self.margin * max(width, height) / scale, image.size, "", None)
