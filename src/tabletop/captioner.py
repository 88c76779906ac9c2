"""Trains the embedded captioner: BLIP in small, on renders and plain captions."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BlipConfig, BlipForConditionalGeneration

from src.core.seeding import derive_seed
from src.features.preprocessing import OPENAI, normalised
from src.models.blip import save_captioner
from src.models.tokenizers import BLIP_CONTEXT_LENGTH, build_word_tokenizer
from src.pretraining.engine import Given
from src.pretraining.images import Draws, to_unit
from src.tabletop.augment import augmented
from src.tabletop.captions import agree, description, vocabulary, world_scenes

# unseen renders that are described in an evaluation, and the longest description in pieces
EVALUATED, LONGEST = 500, 16


class CaptionerTask:
    """Predicts the next word from the picture and the words so far.

    Paper: BLIP (Li et al., 2022), arXiv:2201.12086, its language-modelling loss alone.

    Attributes:
        looks_ahead: See Task.

    Args:
        given: What every task is given.
        text: Arguments of BlipTextConfig.
        vision: Arguments of BlipVisionConfig.
    """

    looks_ahead = False

    def __init__(
        self,
        given: Given,
        text: dict[str, Any],
        vision: dict[str, Any],
    ) -> None:
        train_set, val_set, plan, seed, device = given
        torch.manual_seed(derive_seed(seed, "weights"))
        self.tokenizer = build_word_tokenizer(vocabulary())
        tokens = {
            "vocab_size": len(self.tokenizer),
            "pad_token_id": self.tokenizer.pad_token_id,
            "bos_token_id": self.tokenizer.bos_token_id,
            "eos_token_id": self.tokenizer.sep_token_id,
            "sep_token_id": self.tokenizer.sep_token_id,
            "max_position_embeddings": BLIP_CONTEXT_LENGTH,
        }
        config = BlipConfig(
            text_config={**text, **tokens}, vision_config=vision, projection_dim=int(text["hidden_size"])
        )
        self.model = BlipForConditionalGeneration(config).to(device)
        self.averaged: tuple[str, ...] = ("model",)
        self.networks: dict[str, nn.Module] = {"model": self.model}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "adam": torch.optim.AdamW(
                self.model.parameters(), plan.lr, betas=(0.9, 0.98), weight_decay=0.05, fused=True
            )
        }
        self.train_set, self.val_set, self.plan, self.device = train_set, val_set, plan, device
        self.texts = [description(scene) for scene in world_scenes(train_set.captions)]
        self.val_texts = [description(scene) for scene in world_scenes(val_set.captions)]
        self.draws = Draws(len(train_set), plan.batch_size, seed)

    def update(self, step: int) -> dict[str, Tensor]:
        """Does one update; see Task."""
        chosen = self.draws.at(step)
        images = augmented(to_unit(self.train_set.pixels[chosen], self.device))
        words = self.tokenizer([self.texts[row] for row in chosen.tolist()], padding=True, return_tensors="pt")
        tokens = words.input_ids.clone()
        tokens[:, 0] = self.tokenizer.bos_token_id
        labels = tokens.masked_fill(tokens == self.tokenizer.pad_token_id, -100)
        with self.plan.autocast(self.device):
            loss = self.model(
                pixel_values=normalised(images, OPENAI),
                input_ids=tokens.to(self.device),
                attention_mask=words.attention_mask.to(self.device),
                labels=labels.to(self.device),
            ).loss
        self.plan.descend(self.optimizers["adam"], loss)
        return {"loss": loss.detach()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Returns the share of unseen renders whose colour, class and background are all named right: ``right``."""
        self.model.eval()
        said: list[str] = []
        for part in self.val_set.pixels[:EVALUATED].split(100):
            tokens = self.model.generate(
                pixel_values=normalised(to_unit(part, self.device), OPENAI), max_new_tokens=LONGEST, do_sample=False
            )
            said += self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        self.model.train()
        right = [agree(text, wanted) for text, wanted in zip(said, self.val_texts, strict=False)]
        return {"right": sum(right) / len(right)}

    def samples(self) -> dict[str, Tensor]:
        """Returns nothing: it renders no pictures."""
        return {}

    def save(self, folder: Path) -> None:
        """Writes the model as the published ones are stored."""
        save_captioner(folder, self.model, self.tokenizer)
