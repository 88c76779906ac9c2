import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from src.core.errors import ConfigError
from src.models.tokenizers import build_clip_tokenizer
from src.tabletop import warm_up
from src.tabletop.captions import SceneCaptions
from src.tabletop.warm_up import CaptionWarmUp
from tests.pretraining.conftest import SCENE, TEXT

CAPTIONS = SceneCaptions([SCENE, SCENE | {"name": "boat"}, SCENE | {"colour": "blue"}, SCENE | {"background": "snow"}])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    build_clip_tokenizer(folder, CAPTIONS.words, "<|endoftext|>", TEXT["max_position_embeddings"])
    return CLIPTokenizer.from_pretrained(folder)


def encoder_of(tokenizer):
    torch.manual_seed(0)
    return CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **TEXT))


def test_words_are_learnt_and_repeat(tokenizer, monkeypatch):
    monkeypatch.setattr(warm_up, "RATE", 1e-2)
    encoder, again = encoder_of(tokenizer), encoder_of(tokenizer)
    first = CaptionWarmUp(1)(encoder_of(tokenizer), tokenizer, CAPTIONS, 0)
    assert CaptionWarmUp(40)(encoder, tokenizer, CAPTIONS, 0) < first / 3
    CaptionWarmUp(40)(again, tokenizer, CAPTIONS, 0)
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters(), strict=True))


def test_no_updates_leave_the_encoder_alone(tokenizer):
    encoder, untouched = encoder_of(tokenizer), encoder_of(tokenizer)
    assert CaptionWarmUp(0)(encoder, tokenizer, CAPTIONS, 0) == 0
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), untouched.parameters(), strict=True))


def test_only_what_a_caption_says_is_asked():
    texts = ["a photo of a red mug on wood", "a toy in the snow", "a golden teddy bear"]
    cpu = torch.device("cpu")
    names = warm_up._answers(texts, warm_up.QUESTIONS["name"], cpu)
    backgrounds = warm_up._answers(texts, warm_up.QUESTIONS["background"], cpu)
    choices = list(warm_up.QUESTIONS["name"])
    assert names.tolist() == [choices.index("mug"), warm_up.UNSAID, choices.index("bear")]
    backgrounds_known = list(warm_up.QUESTIONS["background"])
    assert backgrounds.tolist() == [backgrounds_known.index("wood"), backgrounds_known.index("snow"), warm_up.UNSAID]


def test_other_captions_are_refused(tokenizer):
    with pytest.raises(ConfigError, match="embedded world"):
        CaptionWarmUp(1)(encoder_of(tokenizer), tokenizer, None, 0)
