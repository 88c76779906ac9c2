"""Warms a text encoder up on the captions of the embedded world, before it conditions anything.

A published model is conditioned by a text encoder that has long known what words mean. One that starts from noise
beside its UNet leaves every cross-attention without a message for tens of thousands of images.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from src.core.seeding import derive_seed
from src.pretraining.captions import Captions
from src.tabletop.captions import BACKGROUND_PHRASES, CLASS_WORDS, COLOUR_WORDS, world_scenes

QUESTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "name": CLASS_WORDS,
    "colour": COLOUR_WORDS,
    "background": BACKGROUND_PHRASES,
}
BATCH, RATE = 128, 1e-3
UNSAID = -100


class CaptionWarmUp:
    """Trains an encoder until every token after a caption's last word tells class, colour and background; see WarmUp.

    Args:
        updates: How many; 0 leaves the encoder as it is.
    """

    def __init__(self, updates: int) -> None:
        self.updates = updates

    def __call__(self, encoder: CLIPTextModel, tokenizer: CLIPTokenizer, captions: Captions, seed: int) -> float:
        """Returns the last loss: cross-entropy summed over the three questions; 0.0 without updates."""
        device, scenes = encoder.device, world_scenes(captions)
        torch.manual_seed(derive_seed(seed, "lessons"))
        width = int(encoder.config.hidden_size)
        heads = nn.ModuleDict({name: nn.Linear(width, len(words)) for name, words in QUESTIONS.items()}).to(device)
        optimizer = torch.optim.AdamW([*encoder.parameters(), *heads.parameters()], RATE, weight_decay=0.01)
        loss = torch.zeros(())
        for update in range(self.updates):
            rows = torch.randint(len(scenes), (BATCH,)).tolist()
            texts = [captions.text(row, derive_seed(seed, "lesson", update, row)) for row in rows]
            tokens = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids.to(device)
            states = encoder(tokens)[0]
            after = (tokens == tokenizer.eos_token_id).cumsum(1) > 0
            loss = torch.stack(
                [_loss(heads[name](states), after, _answers(texts, words, device)) for name, words in QUESTIONS.items()]
            ).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return loss.item()


def _answers(texts: Sequence[str], words: Mapping[str, tuple[str, ...]], device: torch.device) -> Tensor:
    choices = list(words.values())
    said = [
        next(
            (index for index, synonyms in enumerate(choices) if any(f" {word} " in f" {text} " for word in synonyms)),
            UNSAID,
        )
        for text in texts
    ]
    return torch.tensor(said, device=device)


def _loss(logits: Tensor, after: Tensor, answers: Tensor) -> Tensor:
    every = answers[:, None].expand(after.shape).masked_fill(~after, UNSAID)
    return functional.cross_entropy(logits.flatten(0, 1), every.flatten(), ignore_index=UNSAID)
