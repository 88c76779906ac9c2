"""BLIP through the real loader, and what tokenizers make of tokens and captions."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from src.core.errors import CaptionError, MissingModelError, ModelMismatchError
from src.data.captioning import BlipCaptioner, check_length, load_tokenizers, report_token
from src.models.tokenizers import build_clip_tokenizer
from tests.tiny.captioner import build_captioner


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blip")
    build_captioner(folder, seed=0)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    for index, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    build_clip_tokenizer(folder / "tokenizer", ["a", "photo", "of", "toy", "table", "zebra"], "<|endoftext|>", 77)
    build_clip_tokenizer(folder / "tokenizer_2", ["a", "photo", "of", "toy", "table", "zebra"], "!", 77)
    return load_tokenizers(folder)


def captioner(folder, **changes):
    arguments = {
        "id": str(folder),
        "revision": None,
        "weights": "model.safetensors",
        "num_beams": 2,
        "max_new_tokens": 6,
        "batch_size": 4,
        "device": "cpu",
        "note": "",
    }
    return BlipCaptioner(**{**arguments, **changes})


def test_captions_do_not_depend_on_the_other_photos(blip, photos):
    together = captioner(blip).describe(photos)
    assert together[4:] == captioner(blip).describe(photos[4:])
    assert together[::-1] == captioner(blip).describe(photos[::-1])
    assert len(set(together)) > 1


def test_captioner_reads_a_weights_only_bin(blip, photos, tmp_path):
    folder = shutil.copytree(blip, tmp_path / "bin")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    expected = captioner(blip).describe(photos[:1])
    assert captioner(folder, weights="pytorch_model.bin").describe(photos[:1]) == expected


def test_captioner_refuses_incomplete_weights(blip, photos, tmp_path):
    folder = shutil.copytree(blip, tmp_path / "part")
    tensors = load_file(folder / "model.safetensors")
    del tensors["vision_model.post_layernorm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelMismatchError, match="post_layernorm"):
        captioner(folder).describe(photos[:1])


def test_captioner_that_is_not_here_says_what_helps(tmp_path, photos):
    with pytest.raises(MissingModelError, match="no such folder"):
        captioner(tmp_path / "absent").describe(photos[:1])


def test_load_tokenizers_finds_both_and_refuses_none(tokenizers, tmp_path):
    assert list(tokenizers) == ["tokenizer", "tokenizer_2"]
    with pytest.raises(ModelMismatchError, match="folder named tokenizer"):
        load_tokenizers(tmp_path)


def test_check_length_counts_up_to_the_limit(tokenizers):
    fits = " ".join(["toy"] * 75)  # 75 pieces and the two ends: 77
    check_length({"a.HEIC": fits}, tokenizers)
    with pytest.raises(CaptionError, match=r"a\.HEIC: 78 tokens of tokenizer, at most 77 fit: 'toy toy"):
        check_length({"a.HEIC": fits + " toy"}, tokenizers)


def test_report_token_shows_the_pieces_and_warns_of_an_ordinary_word(tokenizers):
    rare = report_token("sksToy", tokenizers)
    assert [row.tokenizer for row in rare] == ["tokenizer", "tokenizer_2"]
    assert all(row.n_pieces > 1 and not row.single and not row.warning for row in rare)
    assert rare[0].pieces.replace(" ", "") == "skstoy</w>"
    ordinary = report_token("a", tokenizers)[0]
    assert ordinary.single
    assert "ordinary word" in ordinary.warning
