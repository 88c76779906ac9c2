"""Crops around what a text-prompted detector finds."""

import torch
from PIL import Image
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from src.core.device import choose_device
from src.core.errors import BadPhotoError
from src.core.weights import find_model
from src.data.cropping.box import Box, square_box


class DetectorCropper:
    """Keeps a square around the best find for "a photo of a <class noun>".

    Paper: Scaling Open-Vocabulary Object Detection (OWLv2; Minderer et al., 2023), arXiv:2306.09683.

    Attributes:
        name: What crops.csv calls it.

    Args:
        id: A folder, or a hub id.
        revision: The pinned commit on the hub; None for a folder.
        class_name: The class noun.
        margin: The square's side over the find's longer side, >= 1.
        min_score: The least confidence, in [0, 1].
        device: For example ``cpu``; None means cuda where there is one, else cpu.
    """

    name = "detector"

    def __init__(
        self,
        id: str,  # noqa: A002 - the key's name in every config group
        revision: str | None,
        class_name: str,
        margin: float,
        min_score: float,
        device: str | None,
    ) -> None:
        folder = find_model(id, revision)
        self.margin = margin
        self.min_score = min_score
        self.prompt = f"a photo of a {class_name}"
        self.device = choose_device(device)
        self.processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForZeroShotObjectDetection.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
        self.model = model.eval().to(self.device)

    @torch.inference_mode()
    def find(self, image: Image.Image) -> Box:
        """Returns a square around the find with the highest score.

        Args:
            image: Upright RGB photo.

        Returns:
            The square.

        Raises:
            BadPhotoError: Nothing was found.
        """
        inputs = self.processor(text=[[self.prompt]], images=image, return_tensors="pt").to(self.device)
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            outputs = self.model(**inputs)
        found = self.processor.post_process_grounded_object_detection(
            outputs, threshold=self.min_score, target_sizes=torch.tensor([(image.height, image.width)])
        )[0]
        if not len(found["scores"]):
            raise BadPhotoError(f"nothing like {self.prompt!r} with a confidence of {self.min_score} or more")
        left, top, right, bottom = found["boxes"][int(found["scores"].argmax())].tolist()
        # A find may stick out of the photo.
        left, right = (min(max(edge, 0.0), float(image.width)) for edge in (left, right))
        top, bottom = (min(max(edge, 0.0), float(image.height)) for edge in (top, bottom))
        side = self.margin * max(right - left, bottom - top)
        return square_box(((left + right) / 2, (top + bottom) / 2), side, image.size, "", None)
