"""Contrastive encoders of the embedded world: CLIP, and a vision transformer without labels."""

from pathlib import Path
from typing import Any

import open_clip
import pandas as pd
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from src.core.files import write_json
from src.core.seeding import derive_seed
from src.features.preprocessing import IMAGENET, OPENAI, normalised
from src.models.tensors import save_tensors
from src.pretraining.engine import Given
from src.pretraining.images import Draws, to_unit
from src.tabletop.augment import augmented
from src.tabletop.captions import caption, plain_caption, world_scenes
from src.tabletop.world import VIEWS

# unseen renders, and captions to choose from, in an evaluation
EVALUATED, CHOICES = 1000, 100


class _Contrast:
    """What both have in common: one network, one optimizer, both directions of InfoNCE.

    Paper: Representation Learning with Contrastive Predictive Coding (van den Oord et al., 2018), arXiv:1807.03748.
    """

    averaged = ("model",)

    def __init__(self, given: Given) -> None:
        self.train_set, self.val_set, self.plan, self.seed, self.device = given
        torch.manual_seed(derive_seed(self.seed, "weights"))
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    def samples(self) -> dict[str, Tensor]:
        """Returns nothing: it renders no pictures."""
        return {}

    def _trains(self, *networks: nn.Module) -> None:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        self.optimizers["adam"] = torch.optim.AdamW(
            parameters, self.plan.lr, betas=(0.9, 0.98), weight_decay=0.05, fused=True
        )

    def _step(self, first: Tensor, second: Tensor, scale: Tensor | float) -> dict[str, Tensor]:
        first, second = functional.normalize(first.float(), dim=1), functional.normalize(second.float(), dim=1)
        logits = first @ second.T * scale
        target = torch.arange(len(logits), device=logits.device)
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        self.plan.descend(self.optimizers["adam"], loss)
        hit = (logits.argmax(1) == target).float().mean()
        return {"loss": loss.detach(), "hits": hit.detach()}


class ClipTask(_Contrast):
    """CLIP (Radford et al., 2021, arXiv:2103.00020) on renders and their captions.

    Attributes:
        looks_ahead: See Task.

    Args:
        given: What every task is given.
        model: Arguments of open_clip.CLIP.
    """

    looks_ahead = False

    def __init__(
        self,
        given: Given,
        model: dict[str, Any],
    ) -> None:
        super().__init__(given)
        self.config = model
        self.model = open_clip.CLIP(**model).to(self.device)
        self.networks["model"] = self.model
        self._trains(self.model)
        self.draws = Draws(len(self.train_set), self.plan.batch_size, self.seed)
        self.scenes, self.val_scenes = world_scenes(self.train_set.captions), world_scenes(self.val_set.captions)

    def update(self, step: int) -> dict[str, Tensor]:
        """Does one update; see Task."""
        chosen = self.draws.at(step)
        texts = [caption(self.scenes[row], derive_seed(self.seed, "caption", step, row)) for row in chosen.tolist()]
        images = augmented(to_unit(self.train_set.pixels[chosen], self.device))
        with self.plan.autocast(self.device):
            seen = self.model.encode_image(normalised(images, OPENAI))
            read = self.model.encode_text(open_clip.tokenize(texts).to(self.device))
        return self._step(seen, read, self.model.logit_scale.exp().clamp(max=100))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Returns ``right_of_100``: how often the right caption wins among those of 100 unseen renders."""
        self.model.eval()
        features = [
            self.model.encode_image(normalised(to_unit(part, self.device), OPENAI), normalize=True)
            for part in self.val_set.pixels[:EVALUATED].split(100)
        ]
        scenes = self.val_scenes[:EVALUATED]
        texts = [plain_caption(scene["name"], scene["colour"], scene["background"]) for scene in scenes]
        right = []
        for first in range(0, len(scenes), CHOICES):
            choices = sorted(set(texts[first : first + CHOICES]))
            others = [text for text in sorted(set(texts)) if text not in choices]
            choices += others[: CHOICES - len(choices)]
            read = self.model.encode_text(open_clip.tokenize(choices).to(self.device), normalize=True)
            best = (torch.cat(features)[first : first + CHOICES] @ read.T).argmax(1)
            right += [choices[int(i)] == text for i, text in zip(best, texts[first : first + CHOICES], strict=True)]
        self.model.train()
        return {"right_of_100": sum(right) / len(right)}

    def save(self, folder: Path) -> None:
        """Writes weights and config as open_clip's ``local-dir:`` reads them."""
        save_tensors(folder / "open_clip_model.safetensors", self.model.state_dict(), {"format": "pt"})
        write_json(folder / "open_clip_config.json", {"model_cfg": self.config, "preprocess_cfg": {}})


class ViewsTask(_Contrast):
    """A vision transformer that learns without labels: two pictures of one toy, from other sides, on other backgrounds,
    are to be told from pictures of other toys.

    Papers: SimCLR (Chen et al., 2020), arXiv:2002.05709, with another view in place of another crop and without the
    projection head: metric models compare the very features that the loss compares. It takes the place of DINO (Caron
    et al., 2021, arXiv:2104.14294), whose teacher needs far longer training. Hard negatives (Robinson et al., 2021,
    arXiv:2010.04592): toys of one class and colour share a batch, so that telling these two is not enough.

    Attributes:
        looks_ahead: See Task.

    Args:
        given: What every task is given; images are VIEWS in a row of each toy, and batch_size counts toys.
        architecture: A vision transformer of timm.
        model: Its arguments.
        temperature: Of the loss.
        alike: Toys of one class and colour in a batch; divides batch_size.
    """

    looks_ahead = False

    def __init__(
        self,
        given: Given,
        architecture: str,
        model: dict[str, Any],
        temperature: float,
        alike: int,
    ) -> None:
        super().__init__(given)
        self.architecture, self.arguments, self.temperature, self.alike = architecture, model, temperature, alike
        kinds = (
            pd.DataFrame(world_scenes(self.train_set.captions))[::VIEWS]
            .reset_index(drop=True)
            .groupby(["name", "colour"])
            .indices
        )
        self.kinds = [torch.from_numpy(toys) for _, toys in sorted(kinds.items()) if len(toys) >= alike]
        self.model = timm.create_model(architecture, pretrained=False, num_classes=0, **model).to(self.device)
        self.networks["model"] = self.model
        self._trains(self.model)
        self.draws = Draws(len(self.kinds), self.plan.batch_size // alike, self.seed)

    def update(self, step: int) -> dict[str, Tensor]:
        """Does one update; see Task."""
        chance = torch.Generator().manual_seed(derive_seed(self.seed, "toys", step))
        kinds = [self.kinds[int(kind)] for kind in self.draws.at(step)]
        toys = torch.cat([kind[torch.randperm(len(kind), generator=chance)[: self.alike]] for kind in kinds])
        pixels = torch.cat([self.train_set.pixels[toys * VIEWS], self.train_set.pixels[toys * VIEWS + 1]])
        images = augmented(to_unit(pixels, self.device))
        with self.plan.autocast(self.device):
            first, second = self.model(normalised(images, IMAGENET)).chunk(2)
        return self._step(first, second, 1 / self.temperature)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Returns ``same_toy_first``: how often a toy's other view is nearest among EVALUATED / VIEWS unseen toys."""
        self.model.eval()
        features = torch.cat(
            [
                functional.normalize(self.model(normalised(to_unit(part, self.device), IMAGENET)), dim=1)
                for part in self.val_set.pixels[:EVALUATED].split(100)
            ]
        )
        self.model.train()
        nearest = (features[::VIEWS] @ features[1::VIEWS].T).argmax(1).cpu()
        return {"same_toy_first": float((nearest == torch.arange(len(nearest))).float().mean())}

    def save(self, folder: Path) -> None:
        """Writes weights and config as timm's ``local-dir:`` reads them."""
        save_tensors(folder / "model.safetensors", self.model.state_dict(), {"format": "pt"})
        config = {"architecture": self.architecture, "pretrained_cfg": {"num_classes": 0}, "model_args": self.arguments}
        write_json(folder / "config.json", config)
