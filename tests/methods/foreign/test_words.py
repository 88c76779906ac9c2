"""Underscores are read back for every layer of the published architectures, in small."""

import pytest
import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from src.methods.foreign.words import dotted
from src.methods.sdxl_names import original_name
from tests.methods.test_sdxl_names import CONFIG
from tests.tiny.single_file import _sd3

SD1 = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "block_out_channels": (32,) * 4,
    "norm_num_groups": 8,
    "cross_attention_dim": 8,
}
# 3.5 medium: attention of its own beside the joint one
SD35 = {
    "num_layers": 3,
    "dual_attention_layers": (0, 1),
    "qk_norm": "rms_norm",
    "num_attention_heads": 2,
    "attention_head_dim": 8,
}
SD35 |= {
    "joint_attention_dim": 16,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 16,
    "sample_size": 8,
    "pos_embed_max_size": 8,
}
FLUX = {
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 16,
}
FLUX |= {"pooled_projection_dim": 16, "guidance_embeds": True, "axes_dims_rope": (4, 6, 6)}
TEXT = CLIPTextConfig(hidden_size=32, intermediate_size=32, num_attention_heads=2, num_hidden_layers=12, vocab_size=100)
MODELS = {
    "sd1": lambda: UNet2DConditionModel(**SD1),
    "sdxl": lambda: UNet2DConditionModel(**CONFIG),
    "sd3": lambda: SD3Transformer2DModel(**SD35),
    "flux": lambda: FluxTransformer2DModel(**FLUX),
    "clip": lambda: CLIPTextModel(TEXT),
    "clip with projection": lambda: CLIPTextModelWithProjection(TEXT),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_dots_of_every_layer_come_back(kind):
    with torch.device("meta"):
        model = MODELS[kind]()
    names = [name for name, layer in model.named_modules() if next(layer.parameters(recurse=False), None) is not None]
    if kind == "sdxl":
        names += [original_name(name) for name in names]
    if kind == "sd3":
        state = {name: weight for name, weight in model.state_dict().items() if "attn2" not in name}
        names += [name.rpartition(".")[0] for name in _sd3(state) if "." in name]
    assert len(names) > 30
    assert {name: dotted(name.replace(".", "_")) for name in names} == {name: name for name in names}
