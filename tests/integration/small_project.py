"""A project of four small photos, whose stages run in this process."""

import importlib
import sys
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from src.core.config import TRAIN_OBSERVERS, declared_params

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


def read_by(stage: str, words: tuple[str, ...]) -> list[str]:
    """Leaves out the words of which a stage reads nothing, and which it therefore refuses."""
    scoring = {"metric_models"}
    # through the keys that take them over
    more = {"crop": {"model.resolution"}, "check": scoring, "evaluate": scoring, "train": set(TRAIN_OBSERVERS)}
    more["choose"] = scoring
    read = [f"{key}." for key in {*declared_params(stage), "exp", "tracker", *more.get(stage, ())}]
    keys = {word: f"{word.partition('=')[0]}." for word in words}
    return [word for word, key in keys.items() if any(key.startswith(one) or one.startswith(key) for one in read)]


@contextmanager
def command_line(stage: str, *overrides: str):
    before = sys.argv
    sys.argv = [stage, *read_by(stage, SMALL), *overrides]
    try:
        yield importlib.import_module(f"src.stages.{stage}")
    finally:
        sys.argv = before


def succeed(stage: str, *overrides: str) -> None:
    with command_line(stage, *overrides) as module:
        module.main()
