"""CLIP against open_clip's own factory, and against transformers, on the same random weights."""

import json
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPModel

from src.core.errors import ConfigError, MetricError, MissingModelError, ModelMismatchError
from tests.tiny.metric_models import CLIP_CONFIG

TEXTS = ["a toy in the jungle", "A purple toy, on the moon!", "toy"]


def unit(features):
    return torch.nn.functional.normalize(features.double(), dim=-1).numpy()


def test_clip_equals_open_clips_factory(clip_model, images, store):
    model, _, preprocess = open_clip.create_model_and_transforms(clip_model.architecture)
    tokenizer = open_clip.get_tokenizer(clip_model.architecture)
    model.eval()
    with torch.no_grad():
        pictures = unit(torch.stack([model.encode_image(preprocess(Image.open(f.path))[None])[0] for f in images]))
        texts = unit(model.encode_text(tokenizer(TEXTS)))
    assert np.abs(store.embed_images(clip_model, images) - pictures).max() < 1e-6
    assert np.abs(store.embed_texts(clip_model, TEXTS) - texts).max() < 1e-6


def test_clip_equals_transformers_with_the_same_weights(clip_model, images, store):
    vision, text = CLIP_CONFIG["vision_cfg"], CLIP_CONFIG["text_cfg"]
    config = CLIPConfig(
        projection_dim=CLIP_CONFIG["embed_dim"],
        vision_config={
            **{"hidden_size": vision["width"], "num_hidden_layers": vision["layers"], "hidden_act": "quick_gelu"},
            **{"num_attention_heads": vision["width"] // vision["head_width"], "image_size": vision["image_size"]},
            **{"intermediate_size": 4 * vision["width"], "patch_size": vision["patch_size"]},
        },
        text_config={
            **{"hidden_size": text["width"], "num_hidden_layers": text["layers"], "hidden_act": "quick_gelu"},
            **{"num_attention_heads": text["heads"], "intermediate_size": 4 * text["width"]},
            **{"vocab_size": text["vocab_size"], "bos_token_id": 49406, "eos_token_id": 49407},
        },
    )
    model = CLIPModel(config).eval()
    model.load_state_dict(to_transformers(load_file(clip_model.weights.find())), strict=True)
    extractor = store.extractor(clip_model)
    pixels = torch.stack([extractor.prepare(Image.open(file.path)) for file in images])
    tokens = open_clip.SimpleTokenizer()(TEXTS)
    with torch.no_grad():
        pictures = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
        texts = model.text_projection(model.text_model(input_ids=tokens).pooler_output)
    assert np.abs(store.embed_images(clip_model, images) - unit(pictures)).max() < 1e-6
    assert np.abs(store.embed_texts(clip_model, TEXTS) - unit(texts)).max() < 1e-6


def to_transformers(state):
    special = {
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "logit_scale": "logit_scale",
    }
    words = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "ln_final": "text_model.final_layer_norm",
        "visual.transformer.resblocks": "vision_model.encoder.layers",
        "transformer.resblocks": "text_model.encoder.layers",
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
        "attn.out_proj": "self_attn.out_proj",
    }
    renamed = {"visual_projection.weight": state["visual.proj"].T, "text_projection.weight": state["text_projection"].T}
    for name, value in state.items():
        if name in special:
            renamed[special[name]] = value
        elif name not in ("visual.proj", "text_projection"):
            for old, new in words.items():
                name = name.replace(old, new)
            if "attn.in_proj_" in name:
                for part, chunk in zip("qkv", value.chunk(3), strict=True):
                    renamed[name.replace("attn.in_proj_", f"self_attn.{part}_proj.")] = chunk
            else:
                renamed[name] = value
    return renamed


def test_clip_activation_matters_and_is_checked(clip_model, images, tmp_path):
    config = json.loads(json.dumps(CLIP_CONFIG)) | {"quick_gelu": False}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    wrong = replace(clip_model, architecture=f"local-dir:{tmp_path}")
    with pytest.raises(ModelMismatchError, match="quick_gelu=False"):
        wrong.check()
    with pytest.raises(ModelMismatchError, match="quick_gelu=False"):  # the trap: the name without the suffix
        replace(clip_model, architecture="ViT-B-32").check()
    extractor, other = clip_model.load("cpu"), replace(wrong, quick_gelu=False).load("cpu")
    pixels = extractor.prepare(Image.open(images[0].path))[None]
    assert (extractor.embed_images(pixels) - other.embed_images(pixels)).abs().max() > 1e-4


def test_clip_public_architecture_is_known_and_quick_gelu():
    config = open_clip.get_model_config("ViT-B-32-quickgelu")
    assert config["quick_gelu"] is True
    assert (config["vision_cfg"]["image_size"], config["text_cfg"]["context_length"]) == (224, 77)


def test_clip_refuses_texts_over_77_tokens(clip_model, store):
    fits = " ".join(["toy"] * 75)
    assert store.embed_texts(clip_model, [fits]).shape == (1, CLIP_CONFIG["embed_dim"])
    with pytest.raises(MetricError, match="78 tokens; 77"):
        store.embed_texts(clip_model, [f"{fits} toy"])


def test_clip_is_frozen_fp32_in_evaluation_mode(clip_model, store):
    model = store.extractor(clip_model).model
    assert not model.training
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in model.parameters())


def test_clip_refuses_weights_of_another_shape(clip_model, tmp_path):
    config = CLIP_CONFIG | {"text_cfg": CLIP_CONFIG["text_cfg"] | {"context_length": 70}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(ModelMismatchError, match="positional_embedding"):  # open_clip would stretch it
        replace(clip_model, architecture=f"local-dir:{tmp_path}").load("cpu")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"sha256": "0" * 64}, ModelMismatchError, "expected 0000"),
        ({"id": "/nowhere"}, MissingModelError, "/nowhere"),
        ({"architecture": "local-dir:/nowhere"}, MissingModelError, "/nowhere"),
        ({"architecture": "ViT-X"}, ConfigError, "ViT-B-32-quickgelu"),
        ({"architecture": "hf-hub:timm/vit_base_patch32_clip_224.openai"}, ConfigError, "would download"),
        ({"architecture": "xlm-roberta-base-ViT-B-32", "quick_gelu": False}, ConfigError, "own text extractor"),
    ],
)
def test_clip_names_what_is_wrong(clip_model, change, error, words):
    with pytest.raises(error, match=words):
        replace(clip_model, **change).load("cpu")
