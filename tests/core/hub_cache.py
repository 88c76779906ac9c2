"""A Hugging Face cache folder made by hand, as huggingface_hub 2.4 lays it out."""

import json
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# the shape of the Stable Diffusion repositories on the hub, with what must not be fetched
SD_FILES = (
    "README.md",
    "model_index.json",
    "v1-5-pruned.safetensors",
    "v1-5-pruned.ckpt",
    "feature_extractor/preprocessor_config.json",
    "safety_checker/config.json",
    "safety_checker/model.safetensors",
    "scheduler/scheduler_config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    *(
        f"{part}/{name}"
        for part, stem in (
            ("unet", "diffusion_pytorch_model"),
            ("vae", "diffusion_pytorch_model"),
            ("text_encoder", "model"),
        )
        for name in (
            "config.json",
            f"{stem}.safetensors",
            f"{stem}.fp16.safetensors",
            f"{stem}.non_ema.safetensors",
            f"{stem}.bin",
            "model.onnx",
        )
    ),
    "vae_1_0/config.json",
    "vae_1_0/diffusion_pytorch_model.safetensors",
)


def make_snapshot(cache: Path, repo: str, files, listed=None) -> Path:
    """Puts files into the cache, and the repository's list of files if `listed` says what it is."""
    root = cache / f"models--{repo.replace('/', '--')}"
    for file in files:
        path = root / "snapshots" / COMMIT / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file)
    if listed is not None:
        (root / "trees").mkdir(parents=True, exist_ok=True)
        entries = {file: {"size": len(file), "blob_id": "0" * 40} for file in listed}
        (root / "trees" / f"{COMMIT}.json").write_text(json.dumps({"format_version": 1, "files": entries}))
    return root / "snapshots" / COMMIT
