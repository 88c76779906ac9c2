"""Writes adapters as each tool does, by the rules of its documentation and source; what is written here is read there.

kohya's scripts: networks/lora.py, lora_flux.py, lora_sd3.py; LyCORIS: docs/; diffusers: loaders/; peft: PeftModel
.save_pretrained; ai-toolkit: toolkit/network_mixins.py; OneTrainer: modules/util/convert/lora.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from src.methods.sdxl_names import original_name
from src.models.base import adaptable

UNETS, ALL = ("sd1", "sd2", "sdxl"), ("sd1", "sd2", "sdxl", "sd3", "flux")
TEXT = {"text_encoder": "te1", "text_encoder_2": "te2"}


@dataclass(frozen=True)
class Lora:
    """A layer's update: (rank, in, ...), (out, rank, ...), and alpha."""

    down: Tensor
    up: Tensor
    alpha: float

    def change(self, alpha: float | None = None) -> Tensor:
        """What is added to the weight."""
        scale = (self.alpha if alpha is None else alpha) / self.down.shape[0]
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return scale * product.reshape(len(self.up), *self.down.shape[1:])


@dataclass(frozen=True)
class File:
    """What a tool writes: tensors, the header's metadata, and peft's settings beside the file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    settings: dict | None = None


def updates_of(model, text: bool = True) -> dict[str, Lora]:
    """Makes an update of every matrix and convolution, of ranks and alphas that differ from layer to layer."""
    made = {}
    generator = torch.Generator().manual_seed(3)
    for component, module in adaptable(model).items():
        if component != model.denoiser_name and not text:
            continue
        for name, layer in module.named_modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and "text_projection" not in name:
                out, inside, *kernel = layer.weight.shape
                rank = 3 if kernel == [3, 3] else 2
                down = torch.randn(rank, inside, *kernel, generator=generator) / 4
                up = torch.randn(out, rank, *[1] * len(kernel), generator=generator) / 4
                alpha = 1.0 if "attn" in name else 4.5 if kernel else float(rank)
                made[f"{component}.{name}"] = Lora(down.half(), up.half(), alpha)
    return made


def in_files(full: str) -> tuple[str, str]:
    """Splits a layer's full name; text encoders' layers have what older transformers had around them."""
    component, _, layer = full.partition(".")
    return component, f"text_model.{layer.removeprefix('text_model.')}" if component in TEXT else layer


def dots(updates: dict[str, Lora], prefix: Callable[[str], str], down: str, up: str, alpha: str | None) -> File:
    """Writes layers with their dotted names."""
    tensors = {}
    for full, lora in updates.items():
        component, layer = in_files(full)
        key = f"{prefix(component)}{layer}"
        tensors |= {f"{key}.{down}.weight": lora.down, f"{key}.{up}.weight": lora.up}
        if alpha:
            tensors[f"{key}.{alpha}"] = torch.tensor(lora.alpha).half()
    return File(tensors, {"format": "pt"})


def diffusers(updates: dict[str, Lora]) -> File:
    """What `save_lora_weights` writes with `_collate_lora_metadata`."""
    note = {}
    for component in {full.partition(".")[0] for full in updates}:
        own = {in_files(full)[1]: lora for full, lora in updates.items() if full.startswith(f"{component}.")}
        note |= {
            f"{component}.r": 2,
            f"{component}.lora_alpha": 2,
            f"{component}.use_rslora": False,
            f"{component}.rank_pattern": {layer: len(lora.down) for layer, lora in own.items() if len(lora.down) != 2},
            f"{component}.alpha_pattern": {layer: lora.alpha for layer, lora in own.items() if lora.alpha != 2},
        }
    tensors = diffusers_plain(updates).tensors
    return File(tensors, {"format": "pt", "lora_adapter_metadata": json.dumps(note)})


def diffusers_plain(updates: dict[str, Lora]) -> File:
    """The same without the header: alpha is the rank."""
    return dots(updates, lambda component: f"{component}.", "lora_A", "lora_B", None)


def diffusers_older(updates: dict[str, Lora]) -> File:
    """diffusers before peft (0.14 to 0.22): factors of attention in its processor, or beside the text encoder's."""
    tensors = {}
    for full, lora in updates.items():
        component, layer = in_files(full)
        owner, _, last = layer.removesuffix(".0").rpartition(".")
        if "attn" in owner and component not in TEXT:
            key = f"{component}.{owner}.processor.{last}_lora"
        elif "self_attn" in owner:
            key = f"{component}.{owner}.to_{last.removesuffix('_proj')}_lora"
        elif component in TEXT:
            key = f"{component}.{layer}.lora_linear_layer"
        else:
            key = f"{component}.{layer}.lora"
        tensors |= {f"{key}.down.weight": lora.down, f"{key}.up.weight": lora.up}
    return File(tensors, {})


def attention_alone(updates: dict[str, Lora]) -> File:
    """diffusers 0.13 and its `examples/dreambooth` of then: UNet alone, and no component."""
    older = diffusers_older(
        {full: lora for full, lora in updates.items() if full.startswith("unet.") and "attn" in full}
    )
    return File({key.removeprefix("unet."): tensor for key, tensor in older.tensors.items()}, {})


def underscored(updates: dict[str, Lora], name: Callable[[str], str], denoiser: str = "lora_unet") -> File:
    """kohya's layout: alpha beside every layer, and settings in the header that only inform."""
    text = "te1" if any(full.startswith("text_encoder_2.") for full in updates) else "te"
    tensors = {}
    for full, lora in updates.items():
        component, layer = in_files(full)
        start = denoiser if component not in TEXT else f"lora_{text if component == 'text_encoder' else 'te2'}"
        key = f"{start}_{(layer if component in TEXT else name(layer)).replace('.', '_')}"
        tensors |= {f"{key}.lora_down.weight": lora.down, f"{key}.lora_up.weight": lora.up}
        tensors[f"{key}.alpha"] = torch.tensor(lora.alpha).half()
    header = {"ss_network_module": "networks.lora", "ss_network_dim": "64", "ss_network_alpha": "32"}
    return File(tensors, header)


def kohya(updates: dict[str, Lora]) -> File:
    """kohya's scripts for SD 1.x and 2.x, A1111's exports, and diffusers' names of SDXL, SD3 and FLUX."""
    return underscored(updates, lambda layer: layer)


def kohya_sdxl(updates: dict[str, Lora]) -> File:
    """kohya's scripts for SDXL: names of Stability's code."""
    return underscored(updates, original_name)


def onetrainer(updates: dict[str, Lora]) -> File:
    """OneTrainer's default, which it calls legacy: the denoiser of a transformer is called so."""
    return underscored(updates, lambda layer: layer, _denoiser(updates))


def onetrainer_diffusers(updates: dict[str, Lora]) -> File:
    """OneTrainer's names with dots."""
    start = {"text_encoder": "lora_te1.", "text_encoder_2": "lora_te2."}
    return dots(updates, lambda c: start.get(c, f"{_denoiser(updates)}."), "lora_down", "lora_up", "alpha")


def onetrainer_omi(updates: dict[str, Lora]) -> File:
    """OneTrainer's "OMI" names for SDXL: those of Stability's code with dots."""
    start, tensors = {"text_encoder": "clip_l.", "text_encoder_2": "clip_g."}, {}
    for full, lora in updates.items():
        component, layer = in_files(full)
        key = start[component] + layer if component in TEXT else f"unet.{original_name(layer)}"
        tensors |= {f"{key}.lora_down.weight": lora.down, f"{key}.lora_up.weight": lora.up}
        tensors[f"{key}.alpha"] = torch.tensor(lora.alpha)
    return File(tensors, {"modelspec.sai_model_spec": "1.0.0"})


def _denoiser(updates: dict[str, Lora]) -> str:
    return "lora_transformer" if any(full.startswith("transformer.") for full in updates) else "lora_unet"


def aitoolkit(updates: dict[str, Lora]) -> File:
    """ai-toolkit for transformers: peft's names, no alpha, the transformer alone."""
    own = {full: lora for full, lora in updates.items() if full.startswith("transformer.")}
    return dots(own, lambda component: f"{component}.", "lora_A", "lora_B", None)


def comfyui(updates: dict[str, Lora]) -> File:
    """ComfyUI's prefix before the layers of a transformer."""
    own = {full: lora for full, lora in updates.items() if full.startswith("transformer.")}
    return dots(own, lambda _: "diffusion_model.", "lora_A", "lora_B", None)


def simpletuner(updates: dict[str, Lora]) -> File:
    """LyCORIS' own wrapper of a denoiser, as SimpleTuner saves it."""
    own = {full: lora for full, lora in updates.items() if full.partition(".")[0] not in TEXT}
    return underscored(own, lambda layer: layer, "lycoris")


def peft(updates: dict[str, Lora]) -> File:
    """`PeftModel(unet).save_pretrained`, with the root of the rank in the scale."""
    own = {full: lora for full, lora in updates.items() if full.partition(".")[0] not in TEXT}
    roots = {full.partition(".")[2]: lora.alpha / len(lora.down) ** 0.5 for full, lora in own.items()}
    tensors = dots(own, lambda _: "base_model.model.", "lora_A", "lora_B", None).tensors
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "use_rslora": True, "alpha_pattern": roots}
    return File(tensors, {"format": "pt"}, settings)


# tool and layout: who writes it, for which bases, and whether it says alpha
LAYOUTS: dict[str, tuple[Callable[[dict[str, Lora]], File], tuple[str, ...], bool]] = {
    "diffusers, with header": (diffusers, ALL, True),
    "diffusers, without header": (diffusers_plain, ALL, False),
    "diffusers before peft": (diffusers_older, UNETS, False),
    "diffusers 0.13, attention alone": (attention_alone, UNETS, False),
    "kohya, names of diffusers": (kohya, ALL, True),
    "kohya, names of Stability's code": (kohya_sdxl, ("sdxl",), True),
    "OneTrainer, legacy": (onetrainer, ALL, True),
    "OneTrainer, names of diffusers": (onetrainer_diffusers, ALL, True),
    "OneTrainer, OMI": (onetrainer_omi, ("sdxl",), True),
    "ai-toolkit": (aitoolkit, ("sd3", "flux"), False),
    "ComfyUI's prefix": (comfyui, ("sd3", "flux"), False),
    "LyCORIS' wrapper (SimpleTuner)": (simpletuner, ALL, True),
    "peft's folder": (peft, ALL, True),
}
# the fused layers of kohya's and ComfyUI's files for transformers have a test of their own
AUTHORS = {
    "kohya, names of the authors' code": ("sd3", "flux"),
    "ComfyUI, names of the authors' code": ("sd3", "flux"),
}
COLUMNS = {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL", "sd3": "SD 3", "flux": "FLUX.1"}


def table(written: dict[str, set[str]]) -> str:
    """The table of docs/formats.md.

    Args:
        written: The bases for which `export_lora` writes a layout, as tests read back.
    """
    read = {name: bases for name, (_, bases, _) in LAYOUTS.items()} | AUTHORS
    lines = ["| Layout | " + " | ".join(COLUMNS.values()) + " |", "|---" * (1 + len(COLUMNS)) + "|"]
    for name, bases in read.items():
        cells = ["r, w" if base in written.get(name, ()) else "r" if base in bases else "" for base in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(line.replace("|  |", "| |").replace("|  |", "| |") for line in lines)
