"""The generate stage refuses what would be judged by prompts that it never learned."""

import pytest
import torch

from src.core.errors import ModelMismatchError
from src.models.tensors import save_tensors
from src.sampling.variants import Variant
from src.stages.generate import check_words


def test_vectors_of_another_word_than_the_prompts_have_are_refused(tmp_path):
    save_tensors(tmp_path / "learned_embeds.safetensors", {"ohwx": torch.zeros(1, 8)}, {"token": "ohwx"})
    variants = [Variant("base", None), Variant("toy", tmp_path)]
    check_words(variants, "ohwx")
    message = r"^toy: its word is 'ohwx', which no prompt has: expected subject\.token=ohwx, found sksToy$"
    with pytest.raises(ModelMismatchError, match=message):
        check_words(variants, "sksToy")


def test_factors_have_no_word(tmp_path):
    save_tensors(tmp_path / "pytorch_lora_weights.safetensors", {"unet.a.lora_A.weight": torch.zeros(1, 8)}, {})
    check_words([Variant("toy", tmp_path)], "sksToy")
