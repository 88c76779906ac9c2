import os
import subprocess
import sys

from transformers import CLIPTokenizer

from src.core.files import sha256_tree
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


def test_merges_do_not_depend_on_the_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from src.models.tokenizers import build_clip_tokenizer as build;"
        "build(Path(sys.argv[1]), ('red', 'reed', 'deer', 'seed'), '!', 77)"
    )
    build_clip_tokenizer(tmp_path / "a", ("red", "reed", "deer", "seed"), "!", 77)
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "b")], check=True, env=os.environ | {"PYTHONHASHSEED": "1"}
    )
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")


def test_merges_are_learned_most_frequent_first():
    assert learn_merges(("ab", "abc", "abd"))[0] == ("a", "b")
