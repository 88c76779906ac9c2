"""Small tokenizers, of CLIP and of T5, whose vocabulary is a list of everyday words."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer, T5Tokenizer

CONTEXT_LENGTH = 77
END = "</w>"

Pair = tuple[str, str]


@lru_cache(maxsize=2)
def learn_merges(words: tuple[str, ...]) -> list[Pair]:
    """Learns byte-pair merges until every word is one piece; ties go to the alphabetically last pair.

    The library's trainer breaks ties by hash order, which differs from process to process.

    Paper: Neural Machine Translation of Rare Words with Subword Units (Sennrich et al., 2015), arXiv:1508.07909.

    Args:
        words: ASCII words.

    Returns:
        The merges, the most frequent first.
    """
    split = [[*word[:-1], word[-1] + END] for word in sorted(set(words))]
    merges: list[Pair] = []
    while counts := Counter(pair for pieces in split for pair in pairwise(pieces)):
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        split = [_merge(pieces, best) for pieces in split]
    return merges


def _merge(pieces: list[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def build_clip_tokenizer(folder: Path, words: Sequence[str], pad_token: str, length: int) -> None:
    """Saves a CLIP tokenizer that knows the words, and spells everything else.

    Args:
        folder: Where to save.
        words: The words that are to be one piece each.
        pad_token: ``<|endoftext|>`` as in SD1.x, ``!`` as in SD2.x and in the second tokenizer of SDXL.
        length: Of a text in pieces, its two ends included; CONTEXT_LENGTH in the published models.
    """
    merges = learn_merges(tuple(word.lower() for word in words))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(byte + END for byte in alphabet), *("".join(pair) for pair in merges)]
    pieces = [*dict.fromkeys(pieces), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=merges,
        pad_token=pad_token,
        model_max_length=length,
    )
    tokenizer.save_pretrained(folder)


def build_t5_tokenizer(words: Sequence[str], length: int) -> T5Tokenizer:
    """Builds a T5 tokenizer (a unigram model) that knows the words, and spells everything else.

    Args:
        words: The words that are to be one piece each.
        length: Of a text in pieces, its end included.

    Returns:
        The tokenizer.
    """
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    pieces = dict.fromkeys(["\u2581", *letters, *("\u2581" + word.lower() for word in words)])
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((piece, -float(len(piece) == 1) - 1) for piece in pieces)]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=length)
