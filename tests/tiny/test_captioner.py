"""The tiny BLIP: complete, loadable by the ordinary classes."""

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, BlipForConditionalGeneration

from src.core.files import sha256_tree
from tests.tiny.captioner import build_captioner
from tests.tiny.words import WORDS


def test_words_are_sorted_lowercase_and_unique():
    assert list(WORDS) == sorted(set(WORDS))
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)


def test_build_captioner_depends_on_the_seed_and_leaves_the_global_stream_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build_captioner(tmp_path / "a", seed=0)
    assert torch.equal(torch.rand(1), expected)
    build_captioner(tmp_path / "b", seed=1)
    assert sha256_tree(tmp_path / "a", (".safetensors",)) != sha256_tree(tmp_path / "b", (".safetensors",))


def test_build_captioner_loads_completely_and_looks_at_the_picture(tmp_path):
    build_captioner(tmp_path, seed=0)
    model, report = BlipForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    processor = AutoProcessor.from_pretrained(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    inputs = processor(images=[Image.fromarray(image) for image in noise], return_tensors="pt")
    captions = processor.batch_decode(model.eval().generate(**inputs, max_new_tokens=12), skip_special_tokens=True)
    assert len(set(captions)) > 1
    assert {word for caption in captions for word in caption.split()} <= set(WORDS)
    assert processor.tokenizer("a toy on the moon").input_ids.count(processor.tokenizer.unk_token_id) == 0
