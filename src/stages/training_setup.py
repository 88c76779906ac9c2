"""Builds a training run from parameters; what the loop drives is complete when this returns."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import Accelerator

from src.core import layout
from src.core.files import replaced_folder, sha256_tree, work_root
from src.core.provenance import code_digest
from src.core.sets import DEV
from src.core.settings import Settings
from src.core.single_file import is_single_file
from src.core.weights import find_model, model_patterns
from src.data.dataset import Dataset, Item
from src.losses.diffusion import DiffusionLoss
from src.methods.base import Method
from src.methods.foreign.opening import open_adapter
from src.models.base import DTYPES, BaseModel, Conditioning, Denoiser, adaptable
from src.models.families import load_base_model
from src.models.latents import encode_images
from src.models.quantized import at_work, quantize, text_parts
from src.sampling.generator import Job, sample
from src.sampling.prompts import Prompt
from src.stages.class_images import wants_class_images
from src.stages.sampling_setup import sampling_settings
from src.stages.training_checks import NONE, build_optimizer, check_rates
from src.trackers.machine import machine_load
from src.trackers.protocol import Tracker
from src.training.batches import LatentSet, SamplingPlan
from src.training.curves import report_rows
from src.training.determinism import numerics
from src.training.run import Hooks, Photos, Run, TrainPlan, average_of
from src.training.schedules import LrSchedule
from src.training.state import StateFolder
from src.training.subject_cells import subject_cells

if TYPE_CHECKING:
    from src.stages.early_stopping import EarlyStopping


def build_plan(params: Settings) -> TrainPlan:
    """Reads how long and how much."""
    train = params.train
    return TrainPlan(
        steps=train.steps,
        batch_size=train.batch_size,
        accumulation=train.gradient_accumulation_steps,
        max_grad_norm=train.max_grad_norm,
        lr=params.lr,
        prior_weight=params.prior.weight,
        prior_caption=params.prior.prompt if params.prior.weight > 0 and not wants_class_images(params) else None,
        checkpoint_every=train.checkpoint_every,
        save_every=train.save_every,
        val_every=train.val_every,
        val_timesteps=train.val_timesteps,
        # nobody would see them without a tracker
        sample_every=train.sample_every if params.tracker else 0,
        ema_decay=train.ema_decay,
    )


def build_run(
    params: Settings,
    plan: TrainPlan,
    accelerator: Accelerator,
    parts: tuple[Method, DiffusionLoss, LrSchedule],
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
    train, with_text, sampling = params.train, method.trains_text, plan.sample_every > 0
    model = load_frozen(params, accelerator.device)
    with accelerator.main_process_first(), at_work(model, ["vae"]):
        train_set, val_set, *class_sets = sets = encode_photos(model, params, data)
    kept = {""} if plan.prior_caption is None else {"", plan.prior_caption}
    captions = sorted({caption for data_set in sets for caption in data_set.captions} | kept)
    with at_work(model, [] if with_text else text_parts(model)):
        encode = list if with_text else cached_encoder(model, captions)
    place(model, vae=sampling, text=sampling or with_text)
    if train.quantize != NONE:
        quantize(model, train.quantize, compute_dtype(params))
    groups = method.attach(model, params.seed)
    model.check_captions(captions)
    if train.checkpoint_path:
        method.start(model, open_adapter(Path(train.checkpoint_path)))
    denoiser = Denoiser(model, with_text, train.gradient_checkpointing)
    rates = [{"params": list(group.parameters.values()), "lr": plan.rate(group)} for group in groups]
    built = build_optimizer(params.optimizer, rates)
    check_rates(built, [plan.rate(group) for group in groups])
    module, optimizer = accelerator.prepare(denoiser.train(), built)
    photos = Photos(train_set, class_sets[0] if class_sets else None, val_set)
    hooks = build_hooks(params, (model, method), state, tracker, stopping)
    sample = SamplingPlan(params.seed, model.process, train.caption_dropout, train.noise_offset)
    average = average_of(groups) if plan.ema_decay else None
    return Run(
        accelerator, module, optimizer, groups, loss, schedule, plan, sample, encode, photos, state, hooks, average
    )


def encode_photos(model: BaseModel, params: Settings, data: tuple[Dataset, list[Item]]) -> list[LatentSet]:
    """Encodes all photos, or takes their latents from the cache.

    Args:
        model: The base model.
        params: The stage's parameters.
        data: The photos, and the class images or none.

    Returns:
        Instance images, held-out ones and, where there are any, class images.
    """
    spec, (dataset, class_items) = params.model, data
    vae = find_model(spec.id, spec.revision, model_patterns(spec.variant), spec.config) / "vae"
    single = sha256_tree(Path(spec.id)) if is_single_file(spec.id) else ""
    vae_digest = f"{sha256_tree(vae)}{single}:{code_digest('src.models.latents')}:{numerics()}"
    train = params.train
    kinds = ((dataset.train, train.flip, train.background_weight), (dataset.val, False, 1), (class_items, False, 1))
    return [latent_set(model, items, flip, weight, vae_digest) for items, flip, weight in kinds if items]


def load_frozen(params: Settings, device: torch.device) -> BaseModel:
    """Loads the base model; one whose denoiser is to be quantised stays on the CPU, for `at_work` and `place`.

    Args:
        params: The stage's parameters.
        device: Where it is to work.

    Returns:
        The model.
    """
    spec, train = params.model, params.train
    first = device if train.quantize == NONE else torch.device("cpu")
    model = load_base_model(spec.id, spec.revision, spec.variant, train.base_dtype, first, spec.config)
    return replace(cast(Any, model), device=device)


def compute_dtype(params: Settings) -> torch.dtype:
    """Returns what products are computed in: the mixed precision, else what the base is kept in."""
    mixed, base = params.train.mixed_precision, params.train.base_dtype
    return DTYPES[base if mixed == "no" else mixed]


def place(model: BaseModel, vae: bool, text: bool) -> None:
    """Leaves on the device what the steps of the training need, and moves the rest to the CPU.

    Args:
        model: The base model.
        vae: Whether images are generated meanwhile.
        text: Whether captions are encoded in every step.
    """
    for needed, names in ((vae, ["vae"]), (text, text_parts(model))):
        for name in names:
            getattr(model.pipeline, name).to(model.device if needed else "cpu")


def latent_set(model: BaseModel, items: list[Item], flip: bool, background_weight: float, vae_digest: str) -> LatentSet:
    """Encodes N photos, or takes their latents from the cache.

    Args:
        model: The base model.
        items: The photos.
        flip: Whether to add the mirror images.
        background_weight: Of the cells outside of the subject; 1 for all alike.
        vae_digest: Names the autoencoder's weights.

    Returns:
        The photos, ready to draw from.
    """
    posterior = encode_images(model, [item.path for item in items], flip, work_root() / layout.LATENT_CACHE, vae_digest)
    size_px = torch.tensor([[item.size_px, item.size_px] for item in items], dtype=torch.float32)
    views, _, _, *side = posterior.mean.shape
    return LatentSet(
        [item.image_id for item in items],
        posterior.mean,
        posterior.std,
        [item.caption for item in items],
        size_px,
        subject_cells([item.mask for item in items], views, (side[0], side[1]), background_weight),
    )


@torch.no_grad()
def cached_encoder(model: BaseModel, captions: list[str]) -> Callable[[list[str]], Conditioning]:
    """Encodes every caption once.

    Args:
        model: The base model.
        captions: All that will be asked for.

    Returns:
        A function from captions to their conditioning, on the device.
    """
    table = Conditioning.cat([model.encode_text([caption]) for caption in captions])
    index = {caption: row for row, caption in enumerate(captions)}

    def encode(wanted: list[str]) -> Conditioning:
        return table.select(torch.tensor([index[caption] for caption in wanted], device=table.embeds.device))

    return encode


def build_hooks(
    params: Settings,
    trained: tuple[BaseModel, Method],
    state: StateFolder,
    tracker: Tracker,
    stopping: "EarlyStopping | None",
) -> Hooks:
    """Connects the loop with the method's file format, the trackers and early stopping.

    Args:
        params: The stage's parameters.
        trained: The base, and the method that is attached to it.
        state: Where the checkpoints are.
        tracker: Who watches.
        stopping: When to end before the plan's last step.

    Returns:
        The hooks.
    """

    model, method = trained

    def save_checkpoint(folder: Path) -> None:
        with replaced_folder(folder) as temporary:
            method.save(model, temporary)

    def log(step: int, values: dict[str, float]) -> None:
        report_rows(tracker, [{"step": step, **values}])
        if step % params.train.save_every == 0:
            tracker.scalars(step, {f"machine/{name}": value for name, value in machine_load().items()})

    def sample(step: int) -> None:
        prompts = [Prompt(f"sample-{i}", DEV, "sample", text) for i, text in enumerate(params.train.sample_prompts)]
        tracker.images(step, "samples", *sample_images(params, model, prompts))

    def part(name: str | None) -> AbstractContextManager[None]:
        return method.only_part(model, name)

    def should_stop(step: int) -> bool:
        if stopping is None:
            return False
        # by their steps: a run that was killed may have left a later one, which it will make again
        every = params.train.checkpoint_every
        kept = [state.checkpoint(done) for done in range(every, step + 1, every)]
        return stopping.should_stop(kept, state.path / "dev")

    return Hooks(save_checkpoint, part, log, sample, should_stop)


def sample_images(params: Settings, model: BaseModel, prompts: list[Prompt]) -> tuple[list[Any], list[str]]:
    """Generates images with the adapter as it is now; uses generators of its own, so training does not notice.

    Args:
        params: The stage's parameters.
        model: The base with its adapter.
        prompts: What to generate.

    Returns:
        The images and their texts.
    """
    settings = sampling_settings(params)
    jobs = [Job(prompt, prompt.text, seed) for prompt in prompts for seed in range(settings.num_images_per_prompt)]
    modules = list(adaptable(model).values())
    training = [module.training for module in modules]
    for module in modules:
        module.eval()
    images = [image for _, image in sample(model, settings, jobs)]
    for module, was_training in zip(modules, training, strict=True):
        module.train(was_training)
    return images, [f"{job.text} ({job.seed})" for job in jobs]
