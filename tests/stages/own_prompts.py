"""Runs inference.py's command in this process; the fixture `own_prompts` makes the place."""

import numpy as np
import pandas as pd
from PIL import Image

from src.stages.inference import inference_stage, load_own_prompts

TINY = ("model=tiny", "device=cpu")
SMALL = (*TINY, "validation_args.num_inference_steps=2", "validation_args.batch_size=2", "seeds=1")
BEAR = "prompt=a photo of a sksToy bear"


def draw(*words, small=SMALL):
    """Runs the command; returns the manifest."""
    inference_stage(load_own_prompts("inference", [*small, *words]))
    return manifest(next((word.partition("=")[2] for word in words if word.startswith("exp.run_dir=")), "outputs"))


def manifest(run_dir="outputs"):
    return pd.read_csv(f"{run_dir}/data/samples/manifest.csv", dtype=str, keep_default_na=False)


def pixels(table, run_dir="outputs"):
    return [np.asarray(Image.open(f"{run_dir}/data/samples/{path}")).astype(int) for path in table["path"]]
