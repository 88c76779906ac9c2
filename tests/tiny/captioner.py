"""BLIP in small: the true architecture and file formats with random weights. Its captions are word salad."""

from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipTextConfig,
    BlipVisionConfig,
)

from src.core.seeding import derive_seed
from src.models.blip import save_captioner
from src.models.tokenizers import BLIP_CONTEXT_LENGTH, BLIP_SPECIALS, build_word_tokenizer
from tests.tiny.words import WORDS

IMAGE_SIZE = 64
WIDTH = 32


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


def _config(vocabulary: int) -> BlipConfig:
    text = BlipTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        encoder_hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=BLIP_CONTEXT_LENGTH,
        pad_token_id=BLIP_SPECIALS.index("[PAD]"),
        bos_token_id=BLIP_SPECIALS.index("[DEC]"),
        eos_token_id=BLIP_SPECIALS.index("[SEP]"),
        sep_token_id=BLIP_SPECIALS.index("[SEP]"),
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
