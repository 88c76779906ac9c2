"""Builds a training run from parameters; what the loop drives is complete when this returns."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from omegaconf import DictConfig

from src.core.building import build
from src.core.errors import ConfigError
from src.core.files import replaced_folder, sha256_tree, work_root
from src.core.provenance import code_digest
from src.core.weights import find_model, model_patterns
from src.data.dataset import Dataset, Item
from src.losses.diffusion import DiffusionLoss
from src.models.adapter_files import save_adapter, start_adapter
from src.models.latents import encode_images
from src.models.lora import LoraMethod, only_part
from src.models.resolution import check_resolution
from src.models.stable_diffusion import (
    Conditioning,
    Denoiser,
    StableDiffusion,
    load_stable_diffusion,
    read_pipeline_class,
)
from src.sampling.generator import Job, draw
from src.sampling.prompts import Prompt
from src.stages.sampling_setup import check_base, draw_settings
from src.trackers.machine import machine_load
from src.trackers.protocol import Tracker
from src.training.batches import DrawPlan, LatentSet
from src.training.determinism import numerics
from src.training.run import Hooks, Noise, Run, TrainPlan
from src.training.schedules import LrSchedule
from src.training.state import StateFolder

if TYPE_CHECKING:
    from src.stages.early_stopping import EarlyStopping

LATENT_CACHE = Path(".cache/latents")


def build_plan(params: DictConfig) -> TrainPlan:
    """Reads how long and how much."""
    train = params.train
    return TrainPlan(
        steps=train.steps,
        batch_size=train.batch_size,
        accumulation=train.gradient_accumulation_steps,
        max_grad_norm=train.max_grad_norm,
        lr=params.lr,
        prior_weight=params.prior.weight,
        checkpoint_every=train.checkpoint_every,
        save_every=train.save_every,
        val_every=train.val_every,
        val_timesteps=list(train.val_timesteps),
        # nobody would see them without a tracker
        sample_every=train.sample_every if params.tracker else 0,
    )


def check_settings(params: DictConfig) -> None:
    """Refuses, before the model loads, what would fail only after it.

    Args:
        params: The stage's parameters.

    Raises:
        ConfigError: A value is out of range.
        MissingModelError: The base model is not on this machine.
        ModelMismatchError: The base model is of another architecture.
    """
    train, spec = params.train, params.model
    if not 0 <= train.caption_dropout <= 1:
        raise ConfigError(f"train.caption_dropout={train.caption_dropout}: expected a number in [0, 1]")
    if params.lr_schedule.warmup_steps > train.steps:
        raise ConfigError(
            f"lr_schedule.warmup_steps={params.lr_schedule.warmup_steps} of train.steps={train.steps}: the full rate "
            "would never be reached"
        )
    build_optimizer(params.optimizer, [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": params.lr}])
    if train.sample_every:
        check_base(params, draw_settings(params))
    model = find_model(spec.id, spec.revision, model_patterns(spec.variant))
    read_pipeline_class(model)
    check_resolution(model, spec.resolution)


def build_optimizer(settings: DictConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Builds the optimizer.

    Args:
        settings: Its class and options.
        groups: Parameters with their learning rates.

    Returns:
        The optimizer.

    Raises:
        ConfigError: It refuses an option.
    """
    try:
        optimizer: torch.optim.Optimizer = build(settings)(groups)
    except ValueError as error:
        raise ConfigError(f"optimizer: {error}") from error
    return optimizer


def build_run(
    params: DictConfig,
    plan: TrainPlan,
    accelerator: Accelerator,
    parts: tuple[LoraMethod, DiffusionLoss, LrSchedule],
    data: tuple[Dataset, list[Item]],
    state: StateFolder,
    tracker: Tracker,
    stopping: "EarlyStopping | None",
) -> Run:
    """Loads the base model, encodes the photos once, attaches the adapter and wraps all for the loop.

    Args:
        params: The stage's parameters.
        plan: How long and when.
        accelerator: Device, precision, processes.
        parts: Method, loss and learning-rate schedule.
        data: The photos, and the class images or none.
        state: Where to resume from.
        tracker: Who watches.
        stopping: When to end before the plan's last step.

    Returns:
        The run.
    """
    method, loss, schedule = parts
    dataset, class_items = data
    spec, train = params.model, params.train
    model = load_stable_diffusion(spec.id, spec.revision, spec.variant, train.base_dtype, accelerator.device)
    vae = find_model(spec.id, spec.revision, model_patterns(spec.variant)) / "vae"
    vae_digest = f"{sha256_tree(vae)}:{code_digest('src.models.latents')}:{numerics()}"
    with accelerator.main_process_first():
        sets = [
            latent_set(model, items, flip, vae_digest)
            for items, flip in ((dataset.train, train.flip), (dataset.val, False), (class_items, False))
            if items
        ]
    train_set, val_set, *class_sets = sets
    captions = {caption for data_set in sets for caption in data_set.captions} | {""}
    model.check_captions(sorted(captions))
    groups = method.attach(model, params.seed)
    if train.checkpoint_path:
        start_adapter(model, Path(train.checkpoint_path))
    encode: Callable[[list[str]], Conditioning | list[str]] = list
    if not method.train_text_encoder:
        encode = cached_encoder(model, sorted(captions))
    denoiser = Denoiser(model, method.train_text_encoder, train.gradient_checkpointing)
    if plan.sample_every == 0:
        model.pipeline.vae.to("cpu")
        if not method.train_text_encoder:
            for encoder in model.text_encoders.values():
                encoder.to("cpu")
    rates = [{"params": list(group.parameters.values()), "lr": group.lr or plan.lr} for group in groups]
    optimizer = build_optimizer(params.optimizer, rates)
    module, optimizer = accelerator.prepare(denoiser.train(), optimizer)
    scheduler = model.noise_scheduler
    noise = Noise(scheduler.alphas_cumprod.float().to(accelerator.device), scheduler.config.prediction_type)
    draw = DrawPlan(params.seed, scheduler.config.num_train_timesteps, train.caption_dropout)
    return Run(
        accelerator=accelerator,
        module=module,
        optimizer=optimizer,
        groups=groups,
        loss=loss,
        schedule=schedule,
        plan=plan,
        draw=draw,
        noise=noise,
        encode=encode,
        train_set=train_set,
        class_set=class_sets[0] if class_sets else None,
        val_set=val_set,
        state=state,
        hooks=build_hooks(params, model, state, tracker, stopping),
    )


def latent_set(model: StableDiffusion, items: list[Item], flip: bool, vae_digest: str) -> LatentSet:
    """Encodes photos, or takes their latents from the cache.

    Args:
        model: The base model.
        items: N photos.
        flip: Whether mirror images are added.
        vae_digest: Names the VAE's weights.

    Returns:
        Their latents and captions.
    """
    posterior = encode_images(model, [item.path for item in items], flip, work_root() / LATENT_CACHE, vae_digest)
    size_px = torch.tensor([[item.size_px, item.size_px] for item in items], dtype=torch.float32)
    return LatentSet(
        [item.image_id for item in items], posterior.mean, posterior.std, [item.caption for item in items], size_px
    )


@torch.no_grad()
def cached_encoder(model: StableDiffusion, captions: list[str]) -> Callable[[list[str]], Conditioning]:
    """Encodes every caption once.

    Args:
        model: The base model.
        captions: All that will be asked for.

    Returns:
        A function from captions to their conditioning, on the device.
    """
    rows = [model.encode_text([caption]) for caption in captions]
    index = {caption: row for row, caption in enumerate(captions)}
    pooled = None if rows[0].pooled is None else torch.cat([row.pooled for row in rows if row.pooled is not None])
    table = Conditioning(torch.cat([row.embeds for row in rows]), pooled)

    def encode(wanted: list[str]) -> Conditioning:
        return table.select(torch.tensor([index[caption] for caption in wanted], device=table.embeds.device))

    return encode


def build_hooks(
    params: DictConfig,
    model: StableDiffusion,
    state: StateFolder,
    tracker: Tracker,
    stopping: "EarlyStopping | None",
) -> Hooks:
    """Connects the loop with the adapter's file format, the trackers and early stopping.

    Args:
        params: The stage's parameters.
        model: The base with its adapter.
        state: Where the checkpoints are.
        tracker: Who watches.
        stopping: When to end before the plan's last step.

    Returns:
        The hooks.
    """

    def save_checkpoint(folder: Path) -> None:
        with replaced_folder(folder) as temporary:
            save_adapter(model, temporary)

    def log(step: int, values: dict[str, float]) -> None:
        tracker.scalars(step, {f"train/{name}": value for name, value in values.items()})
        if step % params.train.save_every == 0:
            tracker.scalars(step, {f"machine/{name}": value for name, value in machine_load().items()})

    def sample(step: int) -> None:
        prompts = [Prompt(f"sample-{i}", "dev", "sample", text) for i, text in enumerate(params.train.sample_prompts)]
        tracker.images(step, "samples", *draw_samples(params, model, prompts))

    def part(name: str) -> AbstractContextManager[None]:
        return only_part(model, name)

    def should_stop(step: int) -> bool:
        if stopping is None:
            return False
        # by their steps: a run that was killed may have left a later one, which it will make again
        every = params.train.checkpoint_every
        kept = [state.checkpoint(done) for done in range(every, step + 1, every)]
        return stopping.should_stop(kept, state.path / "dev")

    return Hooks(save_checkpoint, part, log, sample, should_stop)


def draw_samples(params: DictConfig, model: StableDiffusion, prompts: list[Prompt]) -> tuple[list[Any], list[str]]:
    """Draws images with the adapter as it is now; uses generators of its own, so training does not notice.

    Args:
        params: The stage's parameters.
        model: The base with its adapter.
        prompts: What to draw.

    Returns:
        The images and their texts.
    """
    settings = draw_settings(params)
    jobs = [Job(prompt, prompt.text, seed) for prompt in prompts for seed in range(settings.num_images_per_prompt)]
    modules = [model.pipeline.unet, *model.text_encoders.values()]
    training = [module.training for module in modules]
    for module in modules:
        module.eval()
    images = [image for _, image in draw(model, settings, jobs)]
    for module, was_training in zip(modules, training, strict=True):
        module.train(was_training)
    return images, [f"{job.text} ({job.seed})" for job in jobs]
