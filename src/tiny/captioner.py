"""BLIP in small: the true architecture and file formats with random weights. Its captions are word salad."""

import string
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

from src.core.files import write_bytes
from src.core.seeding import derive_seed
from src.tiny.words import WORDS

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")
PUNCTUATION = ".,'-"
IMAGE_SIZE = 64
WIDTH = 32
CONTEXT_LENGTH = 64


def build_captioner(folder: Path, seed: int) -> None:
    """Writes a complete BLIP folder that loads like the published ones; the same seed gives the same bytes.

    Args:
        folder: Where to write; made if missing.
        seed: Of the weights.
    """
    tokenizer = build_word_tokenizer(WORDS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "tiny", "blip"))
        model = BlipForConditionalGeneration(_config(len(tokenizer)))
    _say_words_only(model, tokenizer)
    save_captioner(folder, model, tokenizer)


def save_captioner(folder: Path, model: BlipForConditionalGeneration, tokenizer: BertTokenizer) -> None:
    """Writes a BLIP as the published ones are stored; the same weights give the same bytes.

    Args:
        folder: Where to write; made if missing.
        model: With a square input.
        tokenizer: Its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    side = model.config.vision_config.image_size
    processor = BlipProcessor(
        image_processor=BlipImageProcessor(size={"height": side, "width": side}), tokenizer=tokenizer
    )
    processor.save_pretrained(folder)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    # The library's own writer picks the name of a shared tensor in the order of a set: not the same bytes each time.
    write_bytes(folder / "model.safetensors", save(_unique_tensors(model), metadata={"format": "pt"}))


def build_word_tokenizer(words: Sequence[str]) -> BertTokenizer:
    """Builds a BERT tokenizer in which each word is one piece; other words are spelled.

    Args:
        words: Lower-case ASCII words.

    Returns:
        The tokenizer, with BLIP's additional start token ``[DEC]``.
    """
    characters = string.ascii_lowercase + string.digits
    words = [*characters, *(word for word in words if len(word) > 1)]
    pieces = [*SPECIALS, *PUNCTUATION, *words, *(f"##{character}" for character in characters)]
    return BertTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)},
        bos_token="[DEC]",
        model_max_length=CONTEXT_LENGTH,
    )


def _config(vocabulary: int) -> BlipConfig:
    text = BlipTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        encoder_hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT_LENGTH,
        pad_token_id=SPECIALS.index("[PAD]"),
        bos_token_id=SPECIALS.index("[DEC]"),
        eos_token_id=SPECIALS.index("[SEP]"),
        sep_token_id=SPECIALS.index("[SEP]"),
        # wide, so that random weights look at the picture and do not say one thing for all
        initializer_range=0.5,
    )
    vision = BlipVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=16,
        initializer_range=0.5,
    )
    return BlipConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH, initializer_range=0.5
    )


def _say_words_only(model: BlipForConditionalGeneration, tokenizer: BertTokenizer) -> None:
    words = {*WORDS, "[SEP]"}
    others = [index for piece, index in tokenizer.get_vocab().items() if piece not in words]
    with torch.no_grad():
        model.text_decoder.cls.predictions.bias[sorted(others)] = -100.0


def _unique_tensors(model: BlipForConditionalGeneration) -> dict[str, torch.Tensor]:
    kept: dict[int, str] = {}
    state = model.state_dict()
    for name in sorted(state):
        kept.setdefault(state[name].data_ptr(), name)
    return {name: state[name].contiguous() for name in sorted(kept.values())}
