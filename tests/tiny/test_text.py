from transformers import CLIPTokenizer

from src.models.tokenizers import build_clip_tokenizer, learn_merges
from tests.tiny.words import WORDS


def test_every_word_is_one_piece_and_others_are_spelled(tmp_path):
    build_clip_tokenizer(tmp_path, WORDS, "<|endoftext|>", 77)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    for word in WORDS:
        if word.isalpha():
            assert len(tokenizer.tokenize(word)) == 1, word
    assert len(tokenizer.tokenize("sksToy")) > 1
    assert tokenizer.decode(tokenizer("a red toy")["input_ids"], skip_special_tokens=True) == "a red toy"


def test_merges_are_learned_most_frequent_first():
    assert learn_merges(("ab", "abc", "abd"))[0] == ("a", "b")
