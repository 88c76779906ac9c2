"""Whether a person is recognised: YuNet finds the face, SFace describes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.core.errors import MetricError
from src.core.sets import DEV, PHOTOS, TEST
from src.features.store import FaceExtractor, Features, FeatureStore, ImageFile, MetricModel, open_rgb, unit_vector
from src.features.weights import WeightFile
from src.metrics.base import ALONE, References, Sample, Score
from src.metrics.names import FACE_RATE, HELD_OUT_ROWS, IDENTITY, SIM_DETECTED
from src.metrics.quantities import Quantity

# Overlapping finds of one face, and how many candidates are compared: the values of OpenCV's own demo.
NMS_THRESHOLD, TOP_K = 0.3, 5000


@dataclass(frozen=True)
class FaceModel:
    """Names the two networks that recognise faces.

    Papers: YuNet (Wu et al., 2023), Machine Intelligence Research; SFace (Zhong et al., 2021), arXiv:2205.12010.

    Attributes:
        name: What keys of metrics call the model, for example ``sface``; no two models share one.
        title: What texts call it.
        detector: The weights of YuNet.
        recogniser: The weights of SFace.
        search_px: The longer side in which faces are sought; larger images are shrunk.
        min_score: The least confidence of a face, in [0, 1].
    """

    name: str
    title: str
    detector: WeightFile
    recogniser: WeightFile
    search_px: int
    min_score: float

    def check(self) -> None:
        """Checks that both files are there.

        Raises:
            MissingModelError: One is not on this machine.
            ModelMismatchError: One has another hash.
        """
        self.detector.find()
        self.recogniser.find()

    def describe(self) -> dict[str, Any]:
        """Returns identity and preprocessing of both networks."""
        return {
            "detector": self.detector.describe(),
            "recogniser": self.recogniser.describe(),
            "preprocessing": f"largest face of confidence {self.min_score} or more, sought at {self.search_px} px, "
            "aligned by five landmarks to 112 px",
            "dtype": "float32",
        }

    def load(self, device: str) -> "OpenCvExtractor":  # noqa: ARG002
        """Loads both networks; OpenCV runs them on the CPU whatever the device."""
        self.check()
        size = (self.search_px, self.search_px)
        return OpenCvExtractor(
            cv2.FaceDetectorYN.create(str(self.detector.find()), "", size, self.min_score, NMS_THRESHOLD, TOP_K),
            cv2.FaceRecognizerSF.create(str(self.recogniser.find()), ""),
            self.search_px,
        )


@dataclass(frozen=True)
class OpenCvExtractor:
    """The loaded networks.

    Attributes:
        detector: OpenCV's.
        recogniser: OpenCV's.
        search_px: See FaceModel.
    """

    detector: Any
    recogniser: Any
    search_px: int

    def face(self, file: ImageFile) -> Features | None:
        """Describes the largest face of an image; of equally large ones the leftmost.

        Args:
            file: An 8-bit RGB image.

        Returns:
            A unit vector of shape (128,), or None when there is no face.

        Raises:
            MetricError: The image cannot be read, or its feature is not finite.
        """
        pixels, found = self._find(file)
        return self._describe(pixels, found[0], file) if found else None

    def faces(self, file: ImageFile) -> list[Features]:
        """Describes all faces of an image, the largest first; arguments and errors as `face`."""
        pixels, found = self._find(file)
        return [self._describe(pixels, face, file) for face in found]

    def _find(self, file: ImageFile) -> tuple[NDArray[np.uint8], list[NDArray[np.float32]]]:
        image = open_rgb(file.path)
        scale = min(1.0, self.search_px / max(image.size))
        small = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BILINEAR
        )
        pixels = np.ascontiguousarray(np.asarray(small)[..., ::-1])
        self.detector.setInputSize(small.size)
        faces = self.detector.detect(pixels)[1]
        return pixels, [] if faces is None else sorted(faces, key=lambda face: (-face[2] * face[3], face[0]))

    def _describe(self, pixels: NDArray[np.uint8], face: NDArray[np.float32], file: ImageFile) -> Features:
        feature = self.recogniser.feature(self.recogniser.alignCrop(pixels, face))
        return unit_vector(np.asarray(feature, dtype=np.float64).reshape(-1), str(file.path))


@dataclass
class FaceIdentity:
    """Mean cosine between an image's largest face and the faces of the held-out photos.

    What to do without a face is a convention that changes the number, so there are three: `id_sim_detected` leaves such
    images out, `face_rate` counts them, `id_sim_all` takes them as 0; over equally weighted images the last is the
    product of the first two. Decide by `id_sim_all`: the first favours losing faces.

    Attributes:
        name: What `inference_metrics` calls it.
        model: The networks.
        sets: The sets of samples that it looks at.
    """

    name: str
    model: MetricModel[FaceExtractor]
    sets: Sequence[str] = (DEV, TEST, PHOTOS)

    def quantities(self) -> list[Quantity]:
        """Returns the three conventions."""
        return [
            Quantity(IDENTITY, True, -1, 1).by(self.model),
            Quantity(SIM_DETECTED, True, -1, 1).by(self.model),
            Quantity(FACE_RATE, True, 0, 1).by(self.model),
        ]

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:
        """Scores every sample; a held-out photo is compared with the held-out photos of other groups.

        Args:
            samples: At least one.
            references: Each held-out photo has a face.
            store: Loads the networks.

        Returns:
            Three rows per sample.

        Raises:
            MetricError: A held-out photo has no face.
        """
        extractor = store.extractor(self.model)
        faces = {file.sha256: extractor.face(file) for file in references.val}
        if faceless := sorted(file.path.name for file in references.val if faces[file.sha256] is None):
            raise MetricError(f"{self.name}: no face is found in the held-out photos {', '.join(faceless)}")
        known = [face for file in references.val if (face := faces[file.sha256]) is not None]
        scores = []
        for sample in samples:
            if sample.image.sha256 not in faces:
                faces[sample.image.sha256] = extractor.face(sample.image)
            others = (
                [known[row] for row in references.others(sample.image)] if sample.variant in HELD_OUT_ROWS else known
            )
            scores += self._rows(sample, faces[sample.image.sha256], others)
        return scores

    def _rows(self, sample: Sample, face: Features | None, others: Sequence[Features]) -> list[Score]:
        rate = Score(sample, FACE_RATE, "none", float(face is not None), "")
        if not others:
            return [rate, *(Score(sample, name, "val", None, ALONE) for name in (IDENTITY, SIM_DETECTED))]
        if face is None:
            missing = Score(sample, SIM_DETECTED, "val", None, "no face")
            return [rate, Score(sample, IDENTITY, "val", 0.0, ""), missing]
        likeness = float(np.mean(np.stack(others) @ face))
        return [rate, *(Score(sample, name, "val", likeness, "") for name in (IDENTITY, SIM_DETECTED))]
