"""The rule is compared with what diffusers' converters make of every layer of the published SDXL's UNet."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

from src.core.errors import ModelMismatchError
from src.methods.sdxl_names import diffusers_name, original_name

# of stabilityai/stable-diffusion-xl-base-1.0, in small: widths do not enter names
CONFIG = {
    "block_out_channels": (32, 64, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 8,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 16,
    "use_linear_projection": True,
}


@pytest.fixture(scope="module")
def layers():
    with torch.device("meta"):
        unet = UNet2DConditionModel(**CONFIG)
    return [name for name, layer in unet.named_modules() if isinstance(getattr(layer, "weight", None), torch.Tensor)]


def test_every_layer_is_named_as_single_files_name_it(layers):
    ends = ("weight", "bias")
    file = {f"model.diffusion_model.{original_name(layer)}.{end}": f"{layer}.{end}" for layer in layers for end in ends}
    assert len(file) == 2 * len(layers) == 2 * 1049
    assert convert_ldm_unet_checkpoint(file, CONFIG) == {name: name for name in file.values()}


def test_every_name_leads_back(layers):
    assert [diffusers_name(original_name(layer)) for layer in layers] == layers


def test_blocks_are_those_that_diffusers_finds_in_kohyas_files(layers):
    adapted = [layer for layer in layers if "attentions" in layer and ".norm" not in layer]
    assert sum(layer.endswith(("to_q", "to_k", "to_v", "to_out.0")) for layer in adapted) == 560
    file = {f"lora_unet_{original_name(layer).replace('.', '_')}": layer for layer in adapted}
    mapped = _maybe_map_sgm_blocks_to_diffusers(file, SimpleNamespace(layers_per_block=2))
    ours = {
        f"lora_unet_{layer.replace('.', '_')}".replace("down_", "input_").replace("up_", "output_"): layer
        for layer in adapted
    }
    assert mapped == {name.replace("mid_block", "middle_block"): layer for name, layer in ours.items()}


@pytest.mark.parametrize(
    "name",
    [
        "down_blocks.0.resnets.2.conv1",
        "down_blocks.0.resnets.0.conv3",
        "down_blocks.1.attentions",
        "encoder.layers.0",
        "up_blocks.0.downsamplers.1.conv",
        "conv_in.weight",
    ],
)
def test_what_the_unet_lacks_has_no_original_name(name):
    with pytest.raises(ModelMismatchError, match="is no layer of"):
        original_name(name)


@pytest.mark.parametrize(
    "name",
    ["input_blocks.3.1.proj_in", "input_blocks.0.1.proj_in", "input_blocks.4.2", "output_blocks.2.0.conv1", "out.1"],
)
def test_what_the_original_lacks_has_no_name(name):
    with pytest.raises(ModelMismatchError, match="is no layer of"):
        diffusers_name(name)
