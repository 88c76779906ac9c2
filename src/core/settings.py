"""The types of the settings: configs/config.yaml holds their values and says what they mean, OmegaConf checks them.

A group whose choices are other classes is an open mapping; what it holds is checked when it is built
(`src.core.building`).
"""

from dataclasses import dataclass
from typing import Any


@dataclass
class ConvertSettings:
    """Of the stage `convert`."""

    on_bad: str
    max_megapixels: int
    near_duplicate_bits: int


@dataclass
class CropSettings:
    """Of the stage `crop`."""

    size_px: int
    max_upscale: float
    pad: bool


@dataclass
class CheckSettings:
    """Of the stage `check`."""

    note: str


@dataclass
class CaptionSettings:
    """Of the stage `caption`."""

    prefix: str
    other_names: list[str]
    on_long: str


@dataclass
class SplitSettings:
    """Of the stage `split`."""

    val_fraction: float
    seed: int


@dataclass
class DataReportSettings:
    """Of the stage `data_report`."""

    outlier_deviations: float
    outlier_least_spread: float
    outlier_least_groups: int
    least_sharpness: float
    least_sharpness_share: float
    least_subject_share: float
    most_alike: int
    look_for_faces: bool
    same_person: float
    repeated_share: float
    background_share: float
    least_captions: int


@dataclass
class PriorSettings:
    """Prior preservation."""

    weight: float
    form: str
    num_images: int
    prompt: str
    num_inference_steps: int
    guidance_scale: float
    seed: int


@dataclass
class TrainSettings:
    """Of the stage `train`."""

    steps: int
    checkpoint_path: str | None
    batch_size: int
    gradient_accumulation_steps: int
    mixed_precision: str
    base_dtype: str
    quantize: str
    gradient_checkpointing: bool
    max_grad_norm: float
    ema_decay: float
    caption_dropout: float
    noise_offset: float
    background_weight: float
    flip: bool
    checkpoint_every: int
    save_every: int
    val_every: int
    val_timesteps: list[float]
    sample_every: int
    sample_prompts: list[str]
    deterministic: bool


@dataclass
class PresetSettings:
    """What fits a card, and the GiB that training and generating then take."""

    batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    mixed_precision: str
    base_dtype: str
    quantize: str
    deterministic: bool
    images_at_once: int
    dtype: str
    train_gib: float
    generate_gib: float


@dataclass
class MemorySettings:
    """The card that a memory preset is for."""

    card_gb: int | None
    presets: dict[str, PresetSettings]


@dataclass
class SamplingSettings:
    """How images are generated."""

    num_images_per_prompt: int
    subject_only_prompt: str
    num_subject_only_images: int
    unrelated_prompts: list[str]
    num_unrelated_images: int
    num_inference_steps: int
    guidance_scale: float
    negative_prompt: str
    batch_size: int
    dtype: str
    seed: int


@dataclass
class EvaluateSettings:
    """Of the stage `evaluate`."""

    batch_size: int
    select_clip_t_margin: float
    margins: dict[str, float]


@dataclass
class ReportSettings:
    """Of the stage `report`."""

    language: str
    title: str


@dataclass
class WeightedAdapter:
    """One more adapter."""

    path: str
    weight: float


@dataclass
class InferencerSettings:
    """What is generated with, and what is written beside the images."""

    ckpt_dir: str
    test_checkpoints: str
    weight: float
    adapters: list[WeightedAdapter]
    fuse: bool | None
    contact_sheet: bool
    png_text: bool


@dataclass
class ExpSettings:
    """Where a run reads and writes."""

    config_path: str | None
    run_dir: str


@dataclass
class PipelineExpSettings(ExpSettings):
    """What a training from noise has not."""

    from_image: str | None


@dataclass
class SamplerSettings:
    """A scheduler of diffusers."""

    class_name: str
    options: dict[str, Any]


@dataclass
class SubjectSettings:
    """What is personalised."""

    token: str
    class_name: str


@dataclass
class ModelSettings:
    """The base model."""

    name: str
    id: str
    revision: str | None
    variant: str | None
    config: str | None
    resolution: int
    target_modules: list[str]


@dataclass
class RuleSettings:
    """What the rule that chooses a checkpoint looks through while training."""

    validation_args: SamplingSettings
    sampler: SamplerSettings
    prompts: dict[str, Any]
    evaluate: EvaluateSettings
    metrics: dict[str, Any]


@dataclass
class EarlyStoppingSettings:
    """When to end before `train.steps`."""

    patience: int
    settings: RuleSettings


@dataclass
class Settings:
    """All that can be set, in the order of params.yaml."""

    lr: float
    rank: int
    seed: int
    device: str | None
    convert: ConvertSettings
    crop: CropSettings
    check: CheckSettings
    caption: CaptionSettings
    split: SplitSettings
    data_report: DataReportSettings
    prior: PriorSettings
    train: TrainSettings
    memory: MemorySettings
    validation_args: SamplingSettings
    inference_metrics: list[str]
    evaluate: EvaluateSettings
    report: ReportSettings
    inferencer: InferencerSettings
    prompt: Any
    prompt_file: str | None
    seeds: Any
    width: int
    height: int
    init_image: str | None
    strength: float
    exp: PipelineExpSettings
    configs_digest: str
    cropper: dict[str, Any]
    captioner: dict[str, Any]
    metric_models: dict[str, Any]
    faces: dict[str, Any]
    method: dict[str, Any]
    optimizer: dict[str, Any]
    lr_schedule: dict[str, Any]
    early_stopping: dict[str, Any]
    loss: dict[str, Any]
    sampler: SamplerSettings
    prompts: dict[str, Any]
    tracker: dict[str, Any]
    metrics: dict[str, Any]
    subject: SubjectSettings
    model: ModelSettings
