"""Whether a person is recognised, by insightface's pretrained pack: for non-commercial research only."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from src.core.errors import ConfigError, MissingModelError, ModelMismatchError
from src.core.files import has_file, sha256_file
from src.features.store import Features, ImageFile, open_rgb, unit_vector

if TYPE_CHECKING:
    from types import ModuleType

# what of a pack identity needs; the rest (dense landmarks, age) is not run
TASKS = ("detection", "recognition")


@dataclass(frozen=True)
class InsightFaceModel:
    """Names a pack of insightface; another metric model for `FaceIdentity`.

    Papers: SCRFD (Guo et al., 2021), arXiv:2105.04714; ArcFace (Deng et al., 2018), arXiv:1801.07698. The code is
    under the MIT licence, the pretrained packs are for non-commercial research only.

    Attributes:
        licence_acknowledged: Whether the user has said that this is non-commercial research.
        pack: Its name in insightface's model zoo, for example ``buffalo_l``.
        folder: Where its files are; nothing is downloaded.
        detector_file: The detector's file in `folder`.
        detector_sha256: Its content hash; None if it is not known.
        recogniser_file: The recogniser's file in `folder`.
        recogniser_sha256: Its content hash; None if it is not known.
        det_size_px: Each image is shrunk or enlarged into a square of this side before faces are sought.
        min_score: The least confidence of a face, in [0, 1].
    """

    licence_acknowledged: bool
    pack: str
    folder: str
    detector_file: str
    detector_sha256: str | None
    recogniser_file: str
    recogniser_sha256: str | None
    det_size_px: int
    min_score: float

    @property
    def name(self) -> str:
        """What keys of metrics call the pack."""
        return self.pack

    @property
    def title(self) -> str:
        """What texts call it."""
        return f"insightface {self.pack}"

    def check(self) -> None:
        """Checks licence, package and files.

        Raises:
            ConfigError: The licence is not acknowledged.
            MissingModelError: The package or a file is not on this machine.
            ModelMismatchError: A file has another hash.
        """
        if not self.licence_acknowledged:
            raise ConfigError(
                f"insightface's pack {self.pack!r} may be used for non-commercial research only: if this is, say so "
                "with `-S metrics.id_sim.model.licence_acknowledged=true`, or choose metrics=faces, free for any use"
            )
        import_insightface()
        for path, sha256 in self._files().items():
            if not has_file(path):
                raise MissingModelError(
                    f"{path}: no such file. Nothing downloads it: unpack {self.pack}.zip of "
                    "https://github.com/deepinsight/insightface/releases/tag/v0.7 into that folder, or name another "
                    "with `-S metrics.id_sim.model.folder=FOLDER`"
                )
            if sha256 is not None and (found := sha256_file(path)) != sha256:
                raise ModelMismatchError(f"{path}: sha256 is {found}, expected {sha256}")

    def describe(self) -> dict[str, Any]:
        """Returns identity and preprocessing of both networks, and that the licence was acknowledged."""
        return {
            "pack": self.pack,
            "files": {path.name: sha256_file(path) for path in self._files()},
            "package": f"insightface {import_insightface().__version__}",
            "licence": "pretrained weights for non-commercial research only",
            "licence_acknowledged": self.licence_acknowledged,
            "det_size": [self.det_size_px, self.det_size_px],
            "preprocessing": f"largest face of confidence {self.min_score} or more, sought in one size, aligned by "
            "five landmarks to 112 px",
            "dtype": "float32",
        }

    def load(self, device: str) -> "InsightFaceExtractor":  # noqa: ARG002
        """Loads both networks; onnxruntime runs them on the CPU whatever the device.

        Args:
            device: Not used.

        Returns:
            The loaded pack.

        Raises:
            ConfigError: The licence is not acknowledged.
            MissingModelError: The package or a file is not on this machine.
            ModelMismatchError: A file has another hash, or insightface would take other files of the folder.
        """
        self.check()
        from insightface.app import FaceAnalysis

        folder = Path(self.folder).resolve()
        try:
            # a relative name would be sought in the home folder by versions below 1, and downloaded
            analysis = FaceAnalysis(name=str(folder), allowed_modules=list(TASKS), providers=["CPUExecutionProvider"])
        except AssertionError as error:  # how insightface says it
            raise ModelMismatchError(f"{folder}: insightface finds no detector there") from error
        taken = {task: Path(model.model_file).name for task, model in analysis.models.items()}
        wanted = dict(zip(TASKS, (self.detector_file, self.recogniser_file), strict=True))
        if taken != wanted:
            raise ModelMismatchError(
                f"{folder}: of all *.onnx there insightface takes {taken}, expected {wanted}; keep only those two"
            )
        # without a size, versions from 1 on seek faces in two sizes, 128 and 640 px, and unite what they find
        size = (self.det_size_px, self.det_size_px)
        analysis.prepare(ctx_id=-1, det_thresh=self.min_score, det_size=size)
        return InsightFaceExtractor(analysis)

    def _files(self) -> dict[Path, str | None]:
        folder = Path(self.folder)
        return {
            folder / self.detector_file: self.detector_sha256,
            folder / self.recogniser_file: self.recogniser_sha256,
        }


@dataclass(frozen=True)
class InsightFaceExtractor:
    """The loaded pack, a `FaceTower`.

    Attributes:
        analysis: insightface's FaceAnalysis.
    """

    analysis: Any

    def face(self, file: ImageFile) -> Features | None:
        """Describes the largest face of an image; of equally large ones the leftmost.

        Args:
            file: An 8-bit RGB image.

        Returns:
            A unit vector of shape (512,), or None when there is no face.

        Raises:
            MetricError: The image cannot be read, or its feature is not finite.
        """
        # insightface takes what OpenCV reads: BGR
        faces = self.analysis.get(np.ascontiguousarray(np.asarray(open_rgb(file.path))[..., ::-1]))
        if not faces:
            return None
        largest = max(faces, key=lambda face: (_area(face.bbox), -face.bbox[0]))
        return unit_vector(np.asarray(largest.embedding, dtype=np.float64).reshape(-1), str(file.path))


def import_insightface() -> "ModuleType":
    """Imports the package, which is none of the requirements.

    Returns:
        It.

    Raises:
        MissingModelError: It, or onnxruntime under it, is not installed.
    """
    try:
        import insightface
    except ImportError as error:  # insightface without onnxruntime raises this, not ModuleNotFoundError
        raise MissingModelError(
            "metrics=faces_insightface: insightface or onnxruntime is missing, install both with "
            "`uv pip install insightface onnxruntime`"
        ) from error
    return insightface


def _area(box: Features) -> float:
    """Returns the area of a box: left, top, right, bottom, pixels."""
    left, top, right, bottom = box
    return float((right - left) * (bottom - top))
