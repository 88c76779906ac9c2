"""The detector crop, through the real loader of a small OWLv2 with random weights."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPTokenizer,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessor,
    Owlv2Processor,
    Owlv2TextConfig,
    Owlv2VisionConfig,
)

from src.core.errors import BadPhotoError, MissingModelError
from src.data.cropping.detector import DetectorCropper
from src.models.tokenizers import build_clip_tokenizer


@pytest.fixture(scope="module")
def owl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("owl")
    build_clip_tokenizer(folder, ["a", "photo", "of", "toy"], "!", 77)
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=16)
    size = {"height": 64, "width": 64}
    Owlv2Processor(image_processor=Owlv2ImageProcessor(size=size), tokenizer=tokenizer).save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = Owlv2TextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
    )
    vision = Owlv2VisionConfig(image_size=64, patch_size=16, **sizes)
    torch.manual_seed(0)
    config = Owlv2Config(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=32)
    Owlv2ForObjectDetection(config).save_pretrained(folder)
    return folder


def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8))


def build(folder, min_score, margin=1.2):
    return DetectorCropper(str(folder), None, "toy", margin, min_score, "cpu")


def test_detector_crop_is_a_square_inside_the_photo_and_the_same_twice(owl):
    box = build(owl, 0.0).find(photo())
    assert 0 <= box.left < box.right <= 60
    assert 0 <= box.top < box.bottom <= 90
    assert box.right - box.left == box.bottom - box.top
    assert build(owl, 0.0).find(photo()) == box


def test_detector_crop_is_around_the_highest_score(owl, monkeypatch):
    cropper = build(owl, 0.1, margin=1.0)
    found = {
        "scores": torch.tensor([0.2, 0.9, 0.3]),
        "boxes": torch.tensor([[0.0, 0, 10, 10], [20, 30, 40, 70], [0, 0, 60, 90]]),
    }
    monkeypatch.setattr(cropper.processor, "post_process_grounded_object_detection", lambda *_, **__: [found])
    box = cropper.find(photo())
    assert (box.left, box.top, box.right, box.bottom) == (10, 30, 50, 70)


def test_detector_crop_refuses_a_photo_with_nothing_in_it(owl):
    with pytest.raises(BadPhotoError, match="nothing like 'a photo of a toy'"):
        build(owl, 1.0).find(photo())


def test_detector_that_is_not_here_says_what_helps(tmp_path):
    with pytest.raises(MissingModelError, match="absent"):
        build(tmp_path / "absent", 0.1)
