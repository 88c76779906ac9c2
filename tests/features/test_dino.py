"""DINO against a plain loop of torchvision and timm, and against transformers, on the same random weights."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import checkpoint_filter_fn
from torchvision import transforms
from transformers import ViTConfig, ViTModel

from src.core.config import load_config
from src.core.errors import ConfigError, MissingModelError, ModelMismatchError
from tests.tiny.metric_models import VIT_ARCHITECTURE, VIT_ARGUMENTS


def plain_features(metric_model, images):
    model = timm.create_model(VIT_ARCHITECTURE, num_classes=0, **VIT_ARGUMENTS).eval()
    model.load_state_dict(load_file(metric_model.weights.find()))
    transform = transforms.Compose(
        [
            transforms.Resize(metric_model.resize_px, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(metric_model.crop_px),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    with torch.no_grad():
        rows = [model(transform(Image.open(file.path).convert("RGB"))[None])[0] for file in images]
    return torch.nn.functional.normalize(torch.stack(rows).double(), dim=1).numpy()


def test_dino_equals_plain_torchvision_and_timm(dino_model, images, store):
    ours = store.embed_images(dino_model, images)
    assert np.abs(ours - plain_features(dino_model, images)).max() < 1e-6
    assert np.abs(ours @ ours.T - 1).max() > 0.05  # the images are told apart


def test_dino_equals_transformers_vit_with_the_same_weights(dino_model, images, store):
    config = ViTConfig(
        hidden_size=VIT_ARGUMENTS["embed_dim"],
        num_hidden_layers=VIT_ARGUMENTS["depth"],
        num_attention_heads=VIT_ARGUMENTS["num_heads"],
        intermediate_size=4 * VIT_ARGUMENTS["embed_dim"],
        image_size=VIT_ARGUMENTS["img_size"],
        patch_size=VIT_ARGUMENTS["patch_size"],
        layer_norm_eps=1e-6,
    )
    model = ViTModel(config, add_pooling_layer=False).eval()
    model.load_state_dict(to_transformers(load_file(dino_model.weights.find())), strict=True)
    extractor = store.extractor(dino_model)
    batch = torch.stack([extractor.prepare(Image.open(file.path)) for file in images])
    with torch.no_grad():
        theirs = model(pixel_values=batch).last_hidden_state[:, 0]
        ours = extractor.embed_images(batch)
    assert (ours - theirs).abs().max() < 1e-5


def to_transformers(state):
    renamed = {}
    words = {
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "blocks.": "layers.",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.proj": "attention.o_proj",
    }
    for name, value in state.items():
        if name.startswith("norm."):
            renamed[f"layer{name}"] = value
            continue
        for old, new in words.items():
            name = name.replace(old, new)
        if "attn.qkv" in name:
            for part, chunk in zip("qkv", value.chunk(3), strict=True):
                renamed[name.replace("attn.qkv", f"attention.{part}_proj")] = chunk
        else:
            renamed[name] = value
    return renamed


def test_dino_is_frozen_fp32_in_evaluation_mode(dino_model, store):
    model = store.extractor(dino_model).model
    assert not model.training
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in model.parameters())


def test_dino_refuses_weights_of_another_shape(dino_model, tmp_path):
    state = load_file(dino_model.weights.find())
    state.pop("norm.weight")
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ModelMismatchError, match=r"norm\.weight"):
        replace(dino_model, id=str(tmp_path)).load("cpu")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"sha256": "0" * 64}, ModelMismatchError, "expected 0000"),
        ({"id": "/nowhere", "url": "https://example.org/w"}, MissingModelError, "example.org"),
        ({"id": "/nowhere"}, MissingModelError, "/nowhere"),
        ({"architecture": "local-dir:/nowhere"}, MissingModelError, "/nowhere"),
        ({"architecture": "vit_huge_of_nobody"}, ConfigError, "vit_huge_of_nobody"),
        ({"architecture": "resnet18"}, ConfigError, "class token"),
        ({"architecture": "hf-hub:timm/vit_small_patch16_224.dino"}, ConfigError, "would download"),
        ({"crop_px": 32}, ConfigError, "crop_px=32"),
    ],
)
def test_dino_names_what_is_wrong(dino_model, change, error, words):
    with pytest.raises(error, match=words):
        replace(dino_model, **change).load("cpu")


def test_dino_of_any_size_has_its_position_embeddings_resampled(dino_model, images, store):
    with pytest.raises(ConfigError, match=r"crop_px=20, but local-dir:.* reads \(28, 28\)"):
        store.extractor(replace(dino_model, crop_px=20))
    smaller = replace(dino_model, resize_px=24, crop_px=20, any_size=True)
    extractor = store.extractor(smaller)
    batch = torch.stack([extractor.prepare(Image.open(file.path)) for file in images])
    assert batch.shape[-2:] == (20, 20)
    state = load_file(dino_model.weights.find())
    model = timm.create_model(VIT_ARCHITECTURE, num_classes=0, **VIT_ARGUMENTS | {"img_size": 20}).eval()
    model.load_state_dict(state | {"pos_embed": hub_positions(state["pos_embed"], 20 // VIT_ARGUMENTS["patch_size"])})
    with torch.no_grad():
        assert (extractor.embed_images(batch) - model(batch)).abs().max() < 1e-5
    of_timm = checkpoint_filter_fn(state, model, interpolation="bicubic")["pos_embed"]
    assert (extractor.model.pos_embed - of_timm).abs().max() > 1e-3, "timm's own resampling is another one"


def hub_positions(table, side):
    """DINOv2's interpolate_pos_encoding (interpolate_offset 0.1, no antialiasing) in NumPy, cell by cell."""
    old = round((table.shape[1] - 1) ** 0.5)
    cells = table[0, 1:].double().numpy().reshape(old, old, -1)
    places = (np.arange(side) + 0.5) * old / (side + 0.1) - 0.5

    def along(values):  # the first axis; Keys' cubic kernel with a = -0.75, edges repeated
        rows = []
        for place in places:
            first = int(np.floor(place))
            taps = np.arange(first - 1, first + 3)
            far = np.abs(place - taps)
            near_weight = 1.25 * far**3 - 2.25 * far**2 + 1
            far_weight = -0.75 * (far**3 - 5 * far**2 + 8 * far - 4)
            weights = np.where(far <= 1, near_weight, far_weight)
            rows.append(np.tensordot(weights, values[np.clip(taps, 0, old - 1)], 1))
        return np.stack(rows)

    resampled = along(along(cells).swapaxes(0, 1)).swapaxes(0, 1)
    return torch.cat([table[:, :1], torch.from_numpy(resampled.reshape(1, side * side, -1)).float()], dim=1)


def test_dinov2_configuration_is_the_published_architecture():
    metric_model = load_config(["model=sd15", "metrics=dinov2"]).metrics.dinov2.model
    assert (metric_model.architecture, metric_model.crop_px, metric_model.any_size) == (
        "vit_small_patch14_dinov2.lvd142m",
        224,
        True,
    )
    with torch.device("meta"):
        model = timm.create_model(metric_model.architecture, num_classes=0)
    assert (model.embed_dim, model.patch_embed.patch_size, len(model.blocks)) == (384, (14, 14), 12)
