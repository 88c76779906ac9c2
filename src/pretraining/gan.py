"""Trains SNGAN: a generator against a discriminator with spectral norm and hinge loss, with or without classes."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.core.errors import ConfigError
from src.core.files import write_json
from src.core.seeding import derive_seed
from src.models.tensors import save_tensors
from src.pretraining.conditions import ClassCondition, Condition, NoCondition
from src.pretraining.engine import Given
from src.pretraining.fid import Measure
from src.pretraining.gan_networks import FIRST_SIDE, Discriminator, Generator, normalised_once
from src.pretraining.images import Draws, ImageSet, check_pair, to_unit
from src.pretraining.sampling import GanSampler, sample_showcase

# held-out images that the discriminator's held-out loss looks at
EVALUATED = 256


class GanTask:
    """Hinge loss; several discriminator updates for one of the generator, whose weights alone are averaged.

    Paper: Spectral Normalization for Generative Adversarial Networks (Miyato et al., 2018), arXiv:1802.05957,
    equations 17 and 18; two learning rates: Heusel et al., 2017, arXiv:1706.08500.

    Attributes:
        looks_ahead: See Task.

    Args:
        given: What every task is given; a step of the plan is one update of the generator.
        condition: ``none`` or ``class``.
        noise_size: Values of the noise that an image is generated from.
        generator_widths: Channels of the first layer and every block; each block doubles the side, from 4 px.
        discriminator_widths: Channels of every block.
        discriminator_halvings: How many blocks, from the first, halve the side.
        discriminator_updates: For each update of the generator.
        discriminator_lr_factor: On the learning rate, for the discriminator.
        measures: What evaluations measure besides the held-out loss, such as FID.

    Raises:
        ConfigError: A value is out of range or does not fit the images' size, or the two sets do not fit.
    """

    looks_ahead = False

    def __init__(
        self,
        given: Given,
        condition: str,
        noise_size: int,
        generator_widths: list[int],
        discriminator_widths: list[int],
        discriminator_halvings: int,
        discriminator_updates: int,
        discriminator_lr_factor: float,
        measures: list[Measure],
    ) -> None:
        train_set, val_set, plan, seed, device = given
        check_pair(train_set, val_set, condition == "class")
        for measure in measures:
            measure.check(val_set)
        self.condition = _condition(condition, train_set, device)
        _check_sizes(train_set.resolution, generator_widths, discriminator_widths, discriminator_halvings)
        if discriminator_updates < 1:
            raise ConfigError(f"task.discriminator_updates={discriminator_updates}: expected 1 or more")
        torch.manual_seed(derive_seed(seed, "weights"))
        classes = len(train_set.classes) if condition == "class" else 0
        self.arguments = {"widths": list(generator_widths), "noise_size": noise_size, "classes": classes}
        self.generator = Generator(generator_widths, noise_size, classes).to(device)
        self.sampler = GanSampler(self.generator, self.condition, device)
        self.discriminator = Discriminator(discriminator_widths, discriminator_halvings, classes).to(device)
        self.networks: dict[str, nn.Module] = {"generator": self.generator, "discriminator": self.discriminator}
        for network in self.networks.values():
            network.to(memory_format=torch.channels_last)
        self.averaged: tuple[str, ...] = ("generator",)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "generator": _adam(self.generator, plan.lr, 1.0),
            "discriminator": _adam(self.discriminator, plan.lr, discriminator_lr_factor),
        }
        self.train_set, self.val_set, self.plan, self.seed, self.device = given
        self.discriminator_updates, self.measures = discriminator_updates, measures
        self.draws = Draws(len(train_set), plan.batch_size * discriminator_updates, seed)

    def update(self, step: int) -> dict[str, Tensor]:
        """Does `discriminator_updates` updates of the discriminator and one of the generator; see Task."""
        losses = []
        for rows in self.draws.at(step).split(self.plan.batch_size):
            labels = self._labels(self.train_set, rows)
            losses.append(self._update_discriminator(to_unit(self.train_set.pixels[rows], self.device), labels))
        return {"loss": torch.stack(losses).mean(), "generator_loss": self._update_generator(labels)}

    def _update_discriminator(self, real: Tensor, labels: Tensor | None) -> Tensor:
        with torch.no_grad(), self.plan.autocast(self.device):
            fake = self.generator(self._noise(len(real)), labels).float()
        with normalised_once(self.discriminator):
            loss = discriminator_loss(*self._scores(real, fake, labels))
        self.plan.descend(self.optimizers["discriminator"], loss)
        return loss.detach()

    def _update_generator(self, labels: Tensor | None) -> Tensor:
        self.discriminator.requires_grad_(False)
        with normalised_once(self.discriminator), self.plan.autocast(self.device):
            fake = self.generator(self._noise(self.plan.batch_size), labels)
            loss = generator_loss(self.discriminator(fake, labels).float())
        self.plan.descend(self.optimizers["generator"], loss)
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _noise(self, count: int) -> Tensor:
        return torch.randn(count, self.generator.noise_size).to(self.device)

    def _labels(self, images: ImageSet, rows: Tensor) -> Tensor | None:
        return self.condition.arguments(self.condition.describe(images, rows)).get("class_labels")

    def _scores(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        twice = None if labels is None else torch.cat([labels, labels])
        with self.plan.autocast(self.device):
            of_real, of_fake = self.discriminator(torch.cat([real, fake]), twice).float().chunk(2)
        return of_real, of_fake

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Returns the discriminator's loss ``val_loss`` on unseen images, and what `measures` add.

        A discriminator that knows its training images by heart takes unseen ones for generated: the value exceeds the
        training loss.
        """
        rows = torch.arange(min(EVALUATED, len(self.val_set)))
        conditions = self.condition.describe(self.val_set, rows)
        fake = self.sampler.sample(conditions, derive_seed(self.seed, "val"), 1, 1.0, 64)
        self.discriminator.eval()
        total = 0.0
        for part in rows.split(64):
            real = to_unit(self.val_set.pixels[part], self.device)
            scores = self._scores(real, to_unit(fake[part], self.device), self._labels(self.val_set, part))
            total += float(discriminator_loss(*scores)) * len(part)
        self.discriminator.train()
        row = {"val_loss": total / len(rows)}
        for measure in self.measures:
            row |= measure(self.sampler, self.val_set)
        return row

    def samples(self) -> dict[str, Tensor]:
        """Returns some images of each class, or of no class."""
        return sample_showcase(self.sampler, self.train_set.classes, self.seed)

    def save(self, folder: Path) -> None:
        """Writes the generator's weights and sizes, and classes.json where it has classes."""
        save_tensors(folder / "generator.safetensors", self.generator.state_dict(), {"format": "pt"})
        write_json(folder / "config.json", self.arguments)
        if self.arguments["classes"]:
            write_json(folder / "classes.json", self.train_set.classes)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Computes the hinge loss of two sets of scores, (B,) each: zero once real ones exceed 1 and generated ones -1."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Computes the generator's loss from scores (B,): the higher they are, the lower it is."""
    return -fake.mean()


def _condition(kind: str, images: ImageSet, device: torch.device) -> Condition:
    if kind == "class":
        return ClassCondition(images.classes, 0.0, device)
    if kind == "none":
        return NoCondition()
    raise ConfigError(f"task.condition={kind}: expected none or class")


def _check_sizes(side: int, generator: list[int], discriminator: list[int], halvings: int) -> None:
    generated = FIRST_SIDE * 2 ** (len(generator) - 1)
    if generated != side:
        raise ConfigError(
            f"task.generator_widths: {len(generator)} widths generate images of {generated} px; the data has {side} px"
        )
    if not 0 <= halvings <= len(discriminator) or side % 2**halvings:
        raise ConfigError(
            f"task.discriminator_halvings={halvings}: expected at most {len(discriminator)}, the number of blocks, "
            f"and a side of {side} px that can be halved so often"
        )


def _adam(network: nn.Module, lr: float, lr_factor: float) -> torch.optim.Optimizer:
    group = {"params": list(network.parameters()), "lr": lr * lr_factor, "lr_factor": lr_factor}
    return torch.optim.Adam([group], betas=(0.0, 0.9), fused=True)
