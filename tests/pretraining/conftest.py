import pytest
import torch
from diffusers import AutoencoderKL

from src.losses.diffusion import MinSNRLoss
from src.pretraining.diffusion import DiffusionTask
from src.pretraining.engine import Given
from src.pretraining.gan import GanTask
from src.pretraining.images import ImageSet
from src.pretraining.plan import Plan
from src.pretraining.timesteps import UniformTimesteps
from src.tabletop.captions import SceneCaptions
from src.tabletop.warm_up import CaptionWarmUp

CPU = torch.device("cpu")
PLAN = {
    "steps": 6,
    "lr": 1e-2,
    "batch_size": 4,
    "ema_decay": 0.9,
    "max_grad_norm": 1.0,
    "mixed_precision": "no",
    "save_every": 3,
    "log_every": 1,
    "eval_every": 2,
}
UNET = {
    "sample_size": 8,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 4,
}
TEXT_UNET = UNET | {
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
}
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 16,
    "max_position_embeddings": 24,
}
SCENE = {"name": "mug", "colour": "red", "background": "wood"} | dict.fromkeys(
    ("azimuth", "elevation", "distance", "warmth"), 3.0
)


def image_set(count, seed, side=8, classes=("cat", "dog", "mug")):
    """Noise, brighter from class to class; rows of the classes are 3 : 2 : 1."""
    random = torch.Generator().manual_seed(seed)
    pattern = torch.tensor([0, 0, 0, 1, 1, 2]).clamp(max=len(classes) - 1)
    labels = pattern.repeat(count // 6 + 1)[:count]
    pixels = torch.randint(100, (count, 3, side, side), generator=random) + 70 * labels[:, None, None, None]
    masks = torch.zeros(count, side, side, dtype=torch.uint8)
    masks[:, : side // 2] = 1
    return ImageSet(pixels.to(torch.uint8), labels, list(classes), SceneCaptions([SCENE] * count), masks)


@pytest.fixture
def plan():
    return Plan(**PLAN)


@pytest.fixture(scope="session")
def autoencoder(tmp_path_factory):
    """A saved one that divides by 1."""
    folder = tmp_path_factory.mktemp("autoencoder")
    torch.manual_seed(0)
    AutoencoderKL(block_out_channels=[8], norm_num_groups=4, latent_channels=3, sample_size=8).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def make_diffusion(autoencoder):
    def make(condition="class", plan=PLAN, measures=(), **sets):
        train_set, val_set = sets.get("train_set", image_set(12, 0)), sets.get("val_set", image_set(6, 1))
        return DiffusionTask(
            Given(train_set, val_set, Plan(**plan), 3, CPU),
            condition=condition,
            unet=TEXT_UNET if condition == "text" else UNET,
            vae=sets.get("vae", autoencoder if condition == "text" else None),
            text=TEXT if condition == "text" else None,
            warm_up=CaptionWarmUp(1) if condition == "text" else None,
            start=sets.get("start"),
            loss=MinSNRLoss(5.0),
            timesteps=UniformTimesteps(),
            alignment=sets.get("alignment"),
            compiled=sets.get("compiled", False),
            subject_weight=sets.get("subject_weight", 1.0),
            dropout=0.3,
            measures=list(measures),
        )

    return make


@pytest.fixture
def make_gan():
    def make(condition="class", plan=PLAN, measures=(), train_set=None, val_set=None, **changes):
        keys = {
            "noise_size": 4,
            "generator_widths": [8, 8],
            "discriminator_widths": [8, 16],
            "discriminator_halvings": 1,
            "discriminator_updates": 2,
            "discriminator_lr_factor": 2.0,
            **changes,
        }
        given = Given(train_set or image_set(12, 0), val_set or image_set(6, 1), Plan(**plan), 3, CPU)
        return GanTask(given, condition=condition, measures=list(measures), **keys)

    return make
