from functools import partial

import pytest
import torch

from src.losses.diffusion import MinSNRLoss
from src.methods.lora import LoraMethod
from src.models.base import Denoiser
from src.training.batches import LatentSet, SamplingPlan
from src.training.run import Hooks, Photos, Run, TrainPlan, average_of
from src.training.schedules import ConstantSchedule
from src.training.state import StateFolder
from tests.training.scaling import scaling_accelerator

PLAN = {
    "steps": 6,
    "batch_size": 4,
    "accumulation": 1,
    "max_grad_norm": 1.0,
    "lr": 1e-2,
    "prior_weight": 0.0,
    "prior_caption": None,
    "checkpoint_every": 3,
    "save_every": 2,
    "val_every": 3,
    "val_timesteps": [0.2, 0.8],
    "sample_every": 0,
    "ema_decay": 0.0,
}


def latents(count, seed, channels):
    random = torch.Generator().manual_seed(seed)
    mean = torch.randn(1, count, channels, 8, 8, generator=random)
    ids = [f"photo{seed}{i}" for i in range(count)]
    return LatentSet(
        ids, mean, torch.full_like(mean, 0.1), ["a photo of sksToy toy"] * count, torch.full((count, 2), 64.0), None
    )


def make_accelerator(precision, accumulation):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    if precision == "fp16":
        return scaling_accelerator(accumulation)
    return Accelerator(cpu=True, gradient_accumulation_steps=accumulation, mixed_precision=precision)


def make_hooks(method, model, log, should_stop):
    return Hooks(partial(method.save, model), partial(method.only_part, model), log, lambda _: None, should_stop)


@pytest.fixture
def make_run(load_tiny, tmp_path):
    """Builds a run on a tiny model; the state folder is shared by all runs of a test unless another is named."""

    def make(
        kind="sd1",
        text=False,
        prior=False,
        state="state",
        log=lambda *_: None,
        should_stop=lambda _: False,
        dropout=0.0,
        dtype="fp32",
        precision="no",
        method=None,
        model=None,
        noise_offset=0.0,
        loss=None,
        optimizer=torch.optim.AdamW,
        **plan,
    ):
        settings = TrainPlan(**{**PLAN, **plan})
        model = model or load_tiny(kind, dtype)
        method = method or LoraMethod(
            4, 4.0, dropout, ["to_q", "to_k", "to_v", "to_out.0"], False, False, text, 1e-3, ["q_proj", "v_proj"]
        )
        groups = method.attach(model, 0)
        channels = model.pipeline.vae.config.latent_channels
        accelerator = make_accelerator(precision, settings.accumulation)
        built = optimizer([{"params": list(g.parameters.values()), "lr": 1e-2} for g in groups])
        module, built = accelerator.prepare(Denoiser(model, text, False).train(), built)

        return Run(
            accelerator=accelerator,
            module=module,
            optimizer=built,
            groups=groups,
            loss=loss or MinSNRLoss(5.0),
            schedule=ConstantSchedule(0),
            plan=settings,
            sampling=SamplingPlan(0, model.process, 0.0, noise_offset),
            encode=list if text else torch.no_grad()(model.encode_text),
            photos=Photos(latents(5, 1, channels), latents(3, 2, channels) if prior else None, latents(2, 3, channels)),
            state=StateFolder(tmp_path / state),
            hooks=make_hooks(method, model, log, should_stop),
            average=average_of(groups) if settings.ema_decay else None,
        )

    return make
