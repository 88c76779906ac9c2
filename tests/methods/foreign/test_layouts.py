"""Adapters in the layouts of other tools change the base's weights as their formulas say, layer by layer."""

import json
from contextlib import nullcontext

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_sd3_transformer_checkpoint_to_diffusers,
)
from peft.tuners.tuners_utils import BaseTunerLayer

from src.methods.foreign.opening import open_adapter
from src.methods.formats import find_format
from src.models.base import adaptable, denoiser
from src.models.tensors import save_tensors
from tests.methods.foreign.layouts import LAYOUTS, File, Lora, updates_of
from tests.tiny.single_file import _sd3

CASES = [(layout, base) for layout, (_, bases, _) in LAYOUTS.items() for base in bases]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))


def weights(model):
    """All weights as they act, by component and layer."""
    found = {}
    for component, module in adaptable(model).items():
        for name, layer in module.named_modules():
            owner = layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer
            if isinstance(owner, torch.nn.Linear | torch.nn.Conv2d) and not name.endswith("base_layer"):
                found.setdefault(f"{component}.{name}", owner.weight.detach().clone())
    return {name: weight for name, weight in found.items() if ".lora_" not in name}


def changes(model, path):
    """What an adapter adds to every layer that it changes; afterwards the base is what it was."""
    before, folder = weights(model), open_adapter(path)
    found = find_format(folder)
    found.check_file(folder)
    found.check_fit(model, folder)
    with found.applied(model, folder) or nullcontext():
        after = weights(model)
    assert all(torch.equal(weight, before[name]) for name, weight in weights(model).items())
    assert after.keys() == before.keys()
    return {name: after[name] - before[name] for name in after if not torch.equal(after[name], before[name])}


def compare(found, wanted):
    assert found.keys() == wanted.keys()
    for name, change in wanted.items():
        torch.testing.assert_close(
            found[name], change, rtol=0, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def write(folder, file):
    name = "adapter_model" if file.settings else "My adapter (v2)"
    folder.mkdir()
    save_tensors(folder / f"{name}.safetensors", file.tensors, file.metadata)
    if file.settings:
        (folder / "adapter_config.json").write_text(json.dumps(file.settings))
    return folder if file.settings else folder / f"{name}.safetensors"


@pytest.mark.parametrize(("layout", "base"), CASES)
def test_every_layer_changes_by_alpha_over_rank_times_its_factors(load_tiny, tmp_path, layout, base):
    writer, _, says_alpha = LAYOUTS[layout]
    model = load_tiny(base)
    updates = updates_of(model)
    file = writer(updates)
    found = changes(model, write(tmp_path / "file", file))
    # some tools write the denoiser alone, or its attention; all that is in the file arrives
    assert sum(name.endswith(("up.weight", "lora_B.weight")) for name in file.tensors) == len(found)
    updates = {name: updates[name] for name in found}
    compare(found, {name: lora.change(None if says_alpha else len(lora.down)) for name, lora in updates.items()})


def test_projections_of_sd2_may_be_convolutions(load_tiny, tmp_path):
    """kohya's scripts train SD 2.x with them (`unet_use_linear_projection_in_v2` is off there)."""
    model = load_tiny("sd2")
    updates = updates_of(model)
    file = LAYOUTS["kohya, names of diffusers"][0](updates)
    wide = {
        name: tensor[..., None, None] if "_proj_in." in name or "_proj_out." in name else tensor
        for name, tensor in file.tensors.items()
        if not name.endswith("alpha")
    }
    assert sum(tensor.ndim == 4 for tensor in wide.values()) > sum(tensor.ndim == 4 for tensor in file.tensors.values())
    alphas = {name: tensor for name, tensor in file.tensors.items() if name.endswith("alpha")}
    found = changes(model, write(tmp_path / "file", File(wide | alphas, {})))
    compare(found, {name: lora.change() for name, lora in updates.items()})


def lora_for(weight, generator):
    """Factors for a layer of the authors' code."""
    down, up = (
        torch.randn(*shape, generator=generator).half() / 4 for shape in ((2, weight.shape[1]), (len(weight), 2))
    )
    return Lora(down, up, 3.0)


BFL_OUTSIDE = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "proj_out": "final_layer.linear",
}
BFL_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
}


def bfl_state(transformer):
    """FLUX's weights under the names of Black Forest Labs' code; checked below by diffusers' converter."""
    state, found = dict(transformer.state_dict()), {}
    norms = {"norm_q": "img_attn.norm.query_norm", "norm_k": "img_attn.norm.key_norm"}
    norms |= {"norm_added_q": "txt_attn.norm.query_norm", "norm_added_k": "txt_attn.norm.key_norm"}
    for end in ("weight", "bias"):
        found |= {f"{new}.{end}": state[f"{old}.{end}"] for old, new in BFL_OUTSIDE.items()}
        scale_first = state[f"norm_out.linear.{end}"].chunk(2)
        found[f"final_layer.adaLN_modulation.1.{end}"] = torch.cat(scale_first[::-1])
        for index in range(transformer.config.num_layers):
            here, there = f"transformer_blocks.{index}", f"double_blocks.{index}"
            found |= {f"{there}.{new}.{end}": state[f"{here}.{old}.{end}"] for old, new in BFL_DOUBLE.items()}
            for new, names in (
                ("img_attn", ("to_q", "to_k", "to_v")),
                ("txt_attn", ("add_q_proj", "add_k_proj", "add_v_proj")),
            ):
                found[f"{there}.{new}.qkv.{end}"] = torch.cat([state[f"{here}.attn.{name}.{end}"] for name in names])
        for index in range(transformer.config.num_single_layers):
            here, there = f"single_transformer_blocks.{index}", f"single_blocks.{index}"
            parts = [f"{here}.attn.{name}" for name in ("to_q", "to_k", "to_v")] + [f"{here}.proj_mlp"]
            found[f"{there}.linear1.{end}"] = torch.cat([state[f"{part}.{end}"] for part in parts])
            found |= {f"{there}.linear2.{end}": state[f"{here}.proj_out.{end}"]}
            found |= {f"{there}.modulation.lin.{end}": state[f"{here}.norm.linear.{end}"]}
    for index in range(transformer.config.num_layers):
        here, there = f"transformer_blocks.{index}.attn", f"double_blocks.{index}"
        found |= {f"{there}.{new}.scale": state[f"{here}.{old}.weight"] for old, new in norms.items()}
    for index in range(transformer.config.num_single_layers):
        here, there = f"single_transformer_blocks.{index}.attn", f"single_blocks.{index}.norm"
        found |= {
            f"{there}.{new}.scale": state[f"{here}.{old}.weight"]
            for old, new in (("norm_q", "query_norm"), ("norm_k", "key_norm"))
        }
    return found


def converted(transformer, kind, state):
    """diffusers' own converter of whole checkpoints; that of FLUX knows one width, so every row comes 96 times."""
    if kind == "sd3":
        return convert_sd3_transformer_checkpoint_to_diffusers(dict(state))
    times = 3072 // transformer.inner_dim
    wide = {name: weight.repeat_interleave(times, 0) for name, weight in state.items()}
    return {name: weight[::times] for name, weight in convert_flux_transformer_checkpoint_to_diffusers(wide).items()}


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_layers_of_the_authors_code_are_cut_as_diffusers_cuts_whole_checkpoints(load_tiny, tmp_path, kind, dotted):
    """kohya's files for FLUX and SD3, and ComfyUI's with dots: q, k and v are one layer there."""
    model = load_tiny(kind)
    transformer = denoiser(model)
    state = bfl_state(transformer) if kind == "flux" else _sd3(transformer.state_dict())
    own = converted(transformer, kind, state)
    assert all(torch.equal(own[name], weight) for name, weight in transformer.state_dict().items())
    generator = torch.Generator().manual_seed(4)
    matrices = {name: weight for name, weight in state.items() if weight.ndim == 2 and name.endswith(".weight")}
    loras = {name.removesuffix(".weight"): lora_for(weight, generator) for name, weight in matrices.items()}
    changed = {name: torch.zeros_like(weight) for name, weight in state.items()}
    changed |= {f"{name}.weight": lora.change() for name, lora in loras.items()}
    wanted = {name: change for name, change in converted(transformer, kind, changed).items() if change.any()}
    tensors = {}
    for name, lora in loras.items():
        key = f"diffusion_model.{name}" if dotted else f"lora_unet_{name.replace('.', '_')}"
        tensors |= {f"{key}.lora_down.weight": lora.down, f"{key}.lora_up.weight": lora.up}
        tensors[f"{key}.alpha"] = torch.tensor(lora.alpha)
    save_tensors(tmp_path / "flux.safetensors", tensors, {})
    found = changes(model, tmp_path / "flux.safetensors")
    compare(found, {f"transformer.{name.removesuffix('.weight')}": change for name, change in wanted.items()})
