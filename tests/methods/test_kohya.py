"""Exported files are read by diffusers' own loader of kohya's layout; it must give the same predictions."""

import pytest
import torch
from diffusers import DiffusionPipeline

from src.commands.export_lora import export
from src.methods.kohya import to_kohya
from src.methods.lora_files import read_adapter, save_adapter
from src.models.tensors import load_tensors, save_tensors
from tests.methods.test_lora import trained


@pytest.fixture
def exported(tiny_models, tmp_path):
    def export_one(model, kind, folder=tmp_path):
        save_adapter(model, folder / "step-000010")
        export(folder, folder / "out/toy.safetensors", words=[f"model.id={tiny_models / kind}"])
        return load_tensors(folder / "out/toy.safetensors")[0]

    return export_one


@pytest.mark.parametrize(("kind", "text"), [("sd1", False), ("sd1", True), ("sd2", False), ("sdxl", True)])
def test_exported_file_generates_the_same(load_tiny, tiny_models, exported, tmp_path, kind, text):
    model = trained(load_tiny, kind, text, False)
    tensors = exported(model, kind)
    assert {float(value) for name, value in tensors.items() if name.endswith(".alpha")} == {8.0}
    plain = DiffusionPipeline.from_pretrained(tiny_models / kind)
    plain.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 2, "output_type": "latent", "height": 64, "width": 64}

    def sample(pipeline):
        pipeline.unet.to(memory_format=torch.channels_last)
        return pipeline("a sksToy toy", generator=torch.Generator().manual_seed(0), **options).images

    before = sample(plain)
    plain.load_lora_weights(tmp_path / "out", weight_name="toy.safetensors")
    after, wanted = sample(plain), sample(model.pipeline)
    assert (after - before).abs().max() > 0.05
    # half precision
    torch.testing.assert_close(after, wanted, rtol=0, atol=0.01 * float((wanted - before).abs().max()))


def test_layers_are_named_as_comfyui_looks_for_them(load_tiny, exported, tmp_path):
    names = exported(trained(load_tiny, "sd1", True, False), "sd1")
    assert "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_down.weight" in names
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight" in names
    assert {name.rpartition(".lora_")[0] or name.removesuffix(".alpha") for name in names} == {
        name.removesuffix(".alpha") for name in names if name.endswith(".alpha")
    }
    names = exported(trained(load_tiny, "sdxl", True, False), "sdxl", tmp_path / "xl")
    assert {name.split("_")[1] for name in names} == {"unet", "te1", "te2"}


def test_a_file_without_alpha_counts_as_alpha_equal_to_rank(tmp_path):
    factors = {"A": torch.zeros(4, 8), "B": torch.zeros(16, 4)}
    tensors = {f"unet.down.to_q.lora_{side}.weight": tensor for side, tensor in factors.items()}
    save_tensors(tmp_path / "pytorch_lora_weights.safetensors", tensors, {})
    assert float(to_kohya(*read_adapter(tmp_path), xl=False)[0]["lora_unet_down_to_q.alpha"]) == 4.0
