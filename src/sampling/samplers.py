"""Samplers: which schedulers of diffusers sample from our base models, and whether one fits a base model."""

import inspect
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.schedulers import KarrasDiffusionSchedulers

from src.core.errors import ConfigError
from src.models.families import read_family

# those that diffusers calls compatible with the schedulers of Stable Diffusion; others need another loop or noise
DIFFUSION = tuple(sorted(scheduler.name for scheduler in KarrasDiffusionSchedulers))
FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
NAMES = (*DIFFUSION, *FLOW)


def check_name(name: str, options: dict[str, Any]) -> None:
    """Checks a sampler by its name and the names of its options.

    Args:
        name: sampler.class_name.
        options: sampler.options.

    Raises:
        ConfigError: It is no scheduler of diffusers that samples from our base models, or takes no such option.
    """
    if name not in NAMES:
        raise ConfigError(
            f"sampler.class_name={name}: no such scheduler in diffusers, expected one of {', '.join(NAMES)}"
        )
    known = set(inspect.signature(getattr(diffusers, name).__init__).parameters) - {"self"}
    if unknown := sorted(set(options) - known):
        raise ConfigError(f"sampler.options.{unknown[0]}: {name} takes no such option, only {', '.join(sorted(known))}")


def build_sampler(name: str, options: dict[str, Any], config: Any) -> Any:
    """Builds a sampler over a base model's own noise schedule.

    Args:
        name: A scheduler class of diffusers.
        options: Its options beside the schedule.
        config: What the base model's scheduler_config.json says.

    Returns:
        The scheduler.
    """
    return getattr(diffusers, name).from_config(config, **options)


def check_fit(name: str, options: dict[str, Any], steps: int, model: Path) -> None:
    """Has a sampler denoise a single number, as it will images: what it cannot do shows before anything is trained.

    Args:
        name: A scheduler class of diffusers.
        options: Its options.
        steps: Sampler steps.
        model: The base model's folder.

    Raises:
        ConfigError: The sampler refuses an option, the number of steps or what the base model predicts.
        ModelMismatchError: The model is of an architecture that is not supported.
    """
    config = diffusers.DDPMScheduler.load_config(model / "scheduler", local_files_only=True)
    flows = config["_class_name"] in FLOW
    usual = "flow_euler" if flows else "ddim"
    if (name in FLOW) != flows:
        raise ConfigError(
            f"sampler.class_name={name}: {model} is trained with {'a flow' if flows else 'diffusion'}, expected one of "
            f"{', '.join(FLOW if flows else DIFFUSION)}; try sampler={usual}"
        )
    if steps > (limit := config.get("num_train_timesteps", steps)):
        raise ConfigError(f"num_inference_steps={steps}: expected 1 to {limit}, the steps that {model} is trained with")
    latent, family = torch.zeros(1, 1, 1, 1), read_family(model)
    try:
        sampler = build_sampler(name, options, config)
        family.set_steps(sampler, steps)
        for timestep in sampler.timesteps:
            # flows need no scaling, and their samplers know none
            scaled = latent if flows else sampler.scale_model_input(latent, timestep)
            output = torch.zeros_like(scaled)
            latent = sampler.step(output, timestep, latent, return_dict=False)[0]
    except (ValueError, TypeError, NotImplementedError, AttributeError, ImportError, IndexError) as error:
        found = f"sampler.class_name={name}, sampler.options={options}, {steps} steps"
        wants = "a flow" if flows else config.get("prediction_type", "epsilon")
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{found}: does not fit {model}, which predicts {wants}: {reason}; try sampler={usual}"
        ) from error
