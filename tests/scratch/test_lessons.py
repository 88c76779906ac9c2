import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from src.scratch import lessons
from src.scratch.lessons import teach_words
from src.tabletop.captions import LETTERS, vocabulary
from src.tiny.text import build_clip_tokenizer
from tests.scratch.conftest import SCENE, TEXT

SCENES = [SCENE, SCENE | {"name": "boat"}, SCENE | {"colour": "blue"}, SCENE | {"ground": "snow"}]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    build_clip_tokenizer(folder, [*LETTERS, *vocabulary()], "<|endoftext|>", TEXT["max_position_embeddings"])
    return CLIPTokenizer.from_pretrained(folder)


def encoder_of(tokenizer):
    torch.manual_seed(0)
    return CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **TEXT))


def test_words_are_learnt_and_repeat(tokenizer, monkeypatch):
    monkeypatch.setattr(lessons, "RATE", 1e-2)
    encoder, again = encoder_of(tokenizer), encoder_of(tokenizer)
    first = teach_words(encoder_of(tokenizer), tokenizer, SCENES, 1, 0)
    assert teach_words(encoder, tokenizer, SCENES, 40, 0) < first / 3
    teach_words(again, tokenizer, SCENES, 40, 0)
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters(), strict=True))


def test_no_lessons_leave_the_encoder_alone(tokenizer):
    encoder, untouched = encoder_of(tokenizer), encoder_of(tokenizer)
    assert teach_words(encoder, tokenizer, SCENES, 0, 0) == 0
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), untouched.parameters(), strict=True))


def test_only_what_a_caption_says_is_asked():
    texts = ["a photo of a red mug on wood", "a toy in the snow", "a golden teddy bear"]
    cpu = torch.device("cpu")
    names = lessons._answers(texts, lessons.QUESTIONS["name"], cpu)
    grounds = lessons._answers(texts, lessons.QUESTIONS["ground"], cpu)
    choices = list(lessons.QUESTIONS["name"])
    assert names.tolist() == [choices.index("mug"), lessons.UNSAID, choices.index("bear")]
    grounds_known = list(lessons.QUESTIONS["ground"])
    assert grounds.tolist() == [grounds_known.index("wood"), grounds_known.index("snow"), lessons.UNSAID]
