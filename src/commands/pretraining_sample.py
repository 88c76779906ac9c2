"""Generates with a model trained from noise: `python -m src.commands.pretraining_sample RUN OUT`.

Writes a folder of class folders.
Image i of a class is a function of the model, the seed and i: more images leave those before as they are, but for their
last bits.
"""

import argparse
from pathlib import Path

from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.core.device import choose_device, choose_precision
from src.training.determinism import set_deterministic, set_environment


def render_folder(wanted: argparse.Namespace) -> None:
    """Generates as many images of each class as are asked for; OUT must not exist.

    Args:
        wanted: The command line.
    """
    set_environment()
    set_deterministic(True)
    import torch

    from src.pretraining.folders import check_new, export_class_folders
    from src.pretraining.images import ImageSet
    from src.pretraining.sampling import SHOWN_GUIDANCE, SHOWN_STEPS, load_sampler, saved_classes
    from src.stages.pretraining import plain_attention

    check_new(wanted.out)
    device = choose_device(wanted.device)
    model = wanted.run / layout.RUN_MODEL
    sampler = load_sampler(model, choose_precision("auto", device), device)
    rows = sampler.condition.showcase(saved_classes(model), wanted.each)
    conditions = [rows[name][image] for image in range(wanted.each) for name in rows]
    steps = SHOWN_STEPS if wanted.steps is None else wanted.steps
    guidance = SHOWN_GUIDANCE if wanted.guidance is None else wanted.guidance
    with plain_attention(device.type):
        pixels = sampler.sample(conditions, wanted.seed, steps, guidance, wanted.batch_size)
    labels = torch.arange(len(rows)).repeat(wanted.each)
    export_class_folders(ImageSet(pixels, labels, list(rows), None, None), wanted.out)
    print(f"{wanted.out}: {len(pixels)} images of {pixels.shape[-1]} px, {len(rows)} classes")


@one_line("pretraining_sample")
def main() -> None:
    """Generates what the command line asks for."""
    parser = command_line("pretraining_sample", __doc__)
    parser.add_argument("run", type=Path, help="what train.py wrote: its exp.run_dir")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--each", type=_count, default=10, help="images of each class (default: 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=_count, help="of diffusion (default: as on the training's page)")
    parser.add_argument("--guidance", type=float, help="of diffusion by class (default: as on the training's page)")
    parser.add_argument("--batch-size", type=_count, default=64)
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    render_folder(parser.parse_args())


def _count(word: str) -> int:
    value = int(word)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{word}: expected 1 or more")
    return value


if __name__ == "__main__":
    main()
