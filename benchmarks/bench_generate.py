"""Generation batched across prompts with cached files, against one pipeline call per prompt and seed."""

import tempfile
from pathlib import Path

import torch

from benchmarks.common import compare, machine
from src.core.device import choose_device
from src.models.families import load_base_model
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt
from tests.tiny.diffusion import build_diffusion
from tests.tiny.words import WORDS

PROMPTS, SEEDS, STEPS, TURNS = 8, 2, 10, 5


def main() -> None:
    """Generates PROMPTS x SEEDS images both ways on the tiny model."""
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        build_diffusion(Path(name), "sd1", list(WORDS), 0)
        model = load_base_model(name, None, None, "fp32", choose_device(None))
    settings = SamplingSettings(64, SEEDS, STEPS, 7.5, "", 8, 0, "DPMSolverMultistepScheduler", {}, "fp32")
    prompts = [Prompt(f"p{i}", "test", "g", f"a photo of a toy on the {WORDS[i * 7]}") for i in range(PROMPTS)]
    jobs = [Job(prompt, prompt.text, seed) for prompt in prompts for seed in range(SEEDS)]

    def one_by_one() -> None:
        for job in jobs:
            model.pipeline(
                job.text,
                num_inference_steps=STEPS,
                height=64,
                width=64,
                generator=torch.Generator("cpu").manual_seed(job.seed),
            )

    compare(f"{len(jobs)} images", lambda: list(sample(model, settings, jobs)), one_by_one, "one call per image", TURNS)


if __name__ == "__main__":
    main()
