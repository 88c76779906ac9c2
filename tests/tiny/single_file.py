"""Writes a diffusers model as AUTOMATIC1111's web UI and ComfyUI keep it: one file in the names of the first authors.

The names are those of CompVis' and Stability's code and of open_clip, written from diffusers' tables of them backwards.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, StableDiffusion3Pipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file
from torch import Tensor

State = dict[str, Tensor]
RESNET = (
    ("norm1.", "in_layers.0."),
    ("conv1.", "in_layers.2."),
    ("norm2.", "out_layers.0."),
    ("conv2.", "out_layers.3."),
    ("time_emb_proj.", "emb_layers.1."),
    ("conv_shortcut.", "skip_connection."),
)
UNET = (
    ("time_embedding.linear_1.", "time_embed.0."),
    ("time_embedding.linear_2.", "time_embed.2."),
    ("add_embedding.linear_1.", "label_emb.0.0."),
    ("add_embedding.linear_2.", "label_emb.0.2."),
    ("conv_in.", "input_blocks.0.0."),
    ("conv_norm_out.", "out.0."),
    ("conv_out.", "out.2."),
)
VAE = (
    ("conv_norm_out.", "norm_out."),
    ("conv_shortcut.", "nin_shortcut."),
    ("mid_block.attentions.0.", "mid.attn_1."),
    ("group_norm.", "norm."),
    ("to_q.", "q."),
    ("to_k.", "k."),
    ("to_v.", "v."),
    ("to_out.0.", "proj_out."),
    ("downsamplers.0.conv.", "downsample.conv."),
    ("upsamplers.0.conv.", "upsample.conv."),
)
OPEN_CLIP = (
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("embeddings.token_embedding.", "token_embedding."),
    ("final_layer_norm.", "ln_final."),
    ("encoder.layers.", "transformer.resblocks."),
    ("layer_norm1.", "ln_1."),
    ("layer_norm2.", "ln_2."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
    ("self_attn.", "attn."),
)
SD3 = (
    ("pos_embed.pos_embed", "pos_embed"),
    ("pos_embed.proj.", "x_embedder.proj."),
    ("time_text_embed.timestep_embedder.linear_1.", "t_embedder.mlp.0."),
    ("time_text_embed.timestep_embedder.linear_2.", "t_embedder.mlp.2."),
    ("time_text_embed.text_embedder.linear_1.", "y_embedder.mlp.0."),
    ("time_text_embed.text_embedder.linear_2.", "y_embedder.mlp.2."),
    ("norm_out.linear.", "final_layer.adaLN_modulation.1."),
    ("attn.norm_q.", "x_block.attn.ln_q."),
    ("attn.norm_k.", "x_block.attn.ln_k."),
    ("attn.norm_added_q.", "context_block.attn.ln_q."),
    ("attn.norm_added_k.", "context_block.attn.ln_k."),
    ("attn.to_out.0.", "x_block.attn.proj."),
    ("attn.to_add_out.", "context_block.attn.proj."),
    ("norm1.linear.", "x_block.adaLN_modulation.1."),
    ("norm1_context.linear.", "context_block.adaLN_modulation.1."),
    ("ff.net.0.proj.", "x_block.mlp.fc1."),
    ("ff.net.2.", "x_block.mlp.fc2."),
    ("ff_context.net.0.proj.", "context_block.mlp.fc1."),
    ("ff_context.net.2.", "context_block.mlp.fc2."),
)


def write_single_file(folder: Path, path: Path) -> None:
    """Writes the weights of a diffusers model of the kinds sd1, sd2, sdxl and sd3 into one file.

    Args:
        folder: The model.
        path: The file; of sd3 it holds transformer and VAE.
    """
    pipeline = DiffusionPipeline.from_pretrained(folder)
    state = _under("first_stage_model.", _vae(pipeline.vae.state_dict(), len(pipeline.vae.config.block_out_channels)))
    if isinstance(pipeline, StableDiffusion3Pipeline):
        state |= _under("model.diffusion_model.", _sd3(pipeline.transformer.state_dict()))
    else:
        state |= _under("model.diffusion_model.", _unet(pipeline.unet.state_dict(), pipeline.unet.config))
        first, text = pipeline.text_encoder.state_dict(), "cond_stage_model."
        if isinstance(pipeline, StableDiffusionXLPipeline):
            state |= _under("conditioner.embedders.1.model.", _open_clip(pipeline.text_encoder_2.state_dict()))
            text = "conditioner.embedders.0."
        if pipeline.scheduler.config.prediction_type == "v_prediction":
            state |= _under("cond_stage_model.model.", _open_clip(first))
        else:
            state |= _under(f"{text}transformer.text_model.", {_bare(name): value for name, value in first.items()})
    save_file({name: value.contiguous() for name, value in state.items()}, path)


def _under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def _bare(name: str) -> str:
    return name.removeprefix("text_model.")


def _renamed(name: str, table: Iterable[tuple[str, str]]) -> str:
    for ours, theirs in table:
        name = re.sub(rf"(^|\.){re.escape(ours)}", lambda match, theirs=theirs: match[1] + theirs, name, count=1)
    return name


def _unet(state: State, config: dict) -> State:
    depth = config["layers_per_block"] + 1
    attended = ["CrossAttn" in kind for kind in config["up_block_types"]]
    kinds: dict[str, Callable[..., str]] = {
        r"down_blocks\.(\d+)\.resnets\.(\d+)\.": lambda b, i: f"input_blocks.{1 + b * depth + i}.0.",
        r"down_blocks\.(\d+)\.attentions\.(\d+)\.": lambda b, i: f"input_blocks.{1 + b * depth + i}.1.",
        r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.": lambda b: f"input_blocks.{(b + 1) * depth}.0.op.",
        r"mid_block\.resnets\.(\d+)\.": lambda i: f"middle_block.{2 * i}.",
        r"mid_block\.attentions\.0\.": lambda: "middle_block.1.",
        r"up_blocks\.(\d+)\.resnets\.(\d+)\.": lambda b, i: f"output_blocks.{b * depth + i}.0.",
        r"up_blocks\.(\d+)\.attentions\.(\d+)\.": lambda b, i: f"output_blocks.{b * depth + i}.1.",
        r"up_blocks\.(\d+)\.upsamplers\.0\.": lambda b: f"output_blocks.{(b + 1) * depth - 1}.{1 + attended[b]}.",
    }
    found = {}
    for name, value in state.items():
        for kind, place in kinds.items():
            if match := re.match(kind, name):
                table = RESNET if "resnets" in kind else ()
                found[place(*map(int, match.groups())) + _renamed(name[match.end() :], table)] = value
                break
        else:
            found[_renamed(name, UNET)] = value
    return found


def _vae(state: State, levels: int) -> State:
    found = {}
    for name, value in state.items():
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
        new = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", new).replace("down_blocks.", "down.")
        new = re.sub(r"up_blocks\.(\d)", lambda match: f"up.{levels - 1 - int(match[1])}", new)
        new = re.sub(r"(up\.\d)\.resnets", r"\1.block", new)
        is_matrix = "attentions" in name and value.ndim == 2
        found[_renamed(new, VAE)] = value[..., None, None] if is_matrix else value
    return found


def _open_clip(state: State) -> State:
    found: State = {}
    for name, value in state.items():
        new = _renamed(_bare(name), OPEN_CLIP)
        if name == "text_projection.weight":
            found["text_projection"] = value.T
        elif match := re.fullmatch(r"(.*\.attn\.)q_proj\.(weight|bias)", new):
            parts = [state[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            found[f"{match[1]}in_proj_{match[2]}"] = torch.cat(parts)
        elif not re.search(r"\.[kv]_proj\.", new):
            found[new] = value
    return found


def _sd3(state: State) -> State:
    last = max(int(name.split(".")[1]) for name in state if name.startswith("transformer_blocks."))
    swapped = ("norm_out.linear.", f"transformer_blocks.{last}.norm1_context.linear.")
    found: State = {}
    for name, value in state.items():
        head, _, rest = name.partition(".attn.")
        if match := re.fullmatch(r"(?:to_q|add_q_proj)\.(weight|bias)", rest):
            parts = [state[re.sub(r"_q(?=\W|_proj)", f"_{part}", name)] for part in "qkv"]
            side = "x_block" if rest.startswith("to") else "context_block"
            new, value = f"{head}.{side}.attn.qkv.{match[1]}", torch.cat(parts)
        elif re.fullmatch(r"(?:to_[kv]|add_[kv]_proj)\.\w+", rest):
            continue
        else:
            new = _renamed(name, SD3)
        new = "final_layer.linear." + new.removeprefix("proj_out.") if new.startswith("proj_out.") else new
        # shift and scale stand the other way round there
        value = torch.cat(value.chunk(2)[::-1]) if name.startswith(swapped) else value
        found[new.replace("transformer_blocks.", "joint_blocks.")] = value
    return found
