"""A project of four small photos, whose stages run in this process."""

import importlib
import sys
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = (
    "model=tiny",
    "device=cpu",
    "tracker=none",
    "exp.run_dir=.",
    "train.steps=1",
    "rank=4",
    "cropper=centre",
    "validation_args.num_inference_steps=1",
    "validation_args.num_images_per_prompt=1",
)
PROMPTS = """
prompts:
  dev: [{id: rug, group: recontext, text: "a {subject} on a rug"}]
  test: [{id: snow, group: recontext, text: "a {subject} in the snow"}]
"""
PROMPTS_FILE = "exp.config_path=prompts.yaml"


def photograph(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((96, 72), Image.Resampling.BICUBIC).save(path)


def hashes(folder: Path) -> dict[str, str]:
    """Every file that is an input or output of a stage; the tiny models are many and do not change."""
    files = [p for name in ("data", "metrics", "models/adapter") for p in (folder / name).rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in files}


@contextmanager
def command_line(stage: str, *overrides: str):
    before = sys.argv
    sys.argv = [stage, *SMALL, *overrides]
    try:
        yield importlib.import_module(f"src.stages.{stage}")
    finally:
        sys.argv = before


def succeed(stage: str, *overrides: str) -> None:
    with command_line(stage, *overrides) as module:
        module.main()
