"""Builds small tokenizers, of CLIP and of BERT, in which each word of a list is one piece."""

import string
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import BertTokenizer, CLIPTokenizer

CONTEXT_LENGTH = 77
END = "</w>"
# of BLIP: BERT's own and the start of a description
BLIP_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
PUNCTUATION = ".,'-"
BLIP_CONTEXT_LENGTH = 64

Pair = tuple[str, str]


@lru_cache(maxsize=2)
def learn_merges(words: tuple[str, ...]) -> list[Pair]:
    """Learns byte-pair merges until every word is one piece; ties go to the alphabetically last pair.

    The library's trainer breaks ties by hash order, which differs from process to process.

    Paper: Neural Machine Translation of Rare Words with Subword Units (Sennrich et al., 2015), arXiv:1508.07909.

    Args:
        words: In the alphabet of the tokenizer.

    Returns:
        The merges, the most frequent first.
    """
    split = [[*word[:-1], word[-1] + END] for word in sorted(set(words))]
    counts = Counter(pair for pieces in split for pair in pairwise(pieces))
    holders: dict[Pair, set[int]] = defaultdict(set)
    for index, pieces in enumerate(split):
        for pair in pairwise(pieces):
            holders[pair].add(index)
    merges: list[Pair] = []
    while counts:
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        for index in holders.pop(best):
            counts.subtract(pairwise(split[index]))
            split[index] = _merge(split[index], best)
            for pair in pairwise(split[index]):
                counts[pair] += 1
                holders[pair].add(index)
        counts = +counts
    return merges


def _as_bytes(word: str) -> str:
    """Returns a word with a character of CLIP's alphabet for each of its bytes; ASCII stays as it is."""
    ((spelled, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word)
    return spelled


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
    merges = learn_merges(tuple(_as_bytes(word.lower()) for word in words))
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


def build_word_tokenizer(words: Sequence[str]) -> BertTokenizer:
    """Builds a BERT tokenizer in which each word is one piece; other words are spelled.

    Args:
        words: Lower-case ASCII words.

    Returns:
        The tokenizer, with BLIP's additional start token ``[DEC]``.
    """
    characters = string.ascii_lowercase + string.digits
    words = [*characters, *(word for word in words if len(word) > 1)]
    pieces = [*BLIP_SPECIALS, *PUNCTUATION, *words, *(f"##{character}" for character in characters)]
    return BertTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)},
        bos_token="[DEC]",
        model_max_length=BLIP_CONTEXT_LENGTH,
    )
