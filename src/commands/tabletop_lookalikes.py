"""Renders the demo subject and its look-alikes, and says which differences each metric sees.

`python -m src.commands.tabletop_lookalikes` writes data/lookalikes for `metrics=lookalikes`; with --trials N it prints
the table of docs/tabletop.md instead.
"""

from pathlib import Path

import torch

from src.commands.usage import command_line
from src.core import layout
from src.core.building import build
from src.core.config import load_settings
from src.core.config_errors import one_line
from src.core.device import choose_device
from src.core.files import replaced_folder

SEED, PHOTOS, OVERSAMPLING = 0, 12, 3


def render_folders(out: Path, side: int, count: int) -> None:
    """Renders the subject and every look-alike in the same scenes, half from the front and half from the back.

    Args:
        out: Gets a folder for each.
        side: Pixels.
        count: Pictures of each; even.
    """
    from src.metrics.lookalikes import OWN
    from src.pretraining.images import save_samples
    from src.tabletop.lookalikes import BACK, FRONT, look_alikes, scenes_of
    from src.tabletop.render import render
    from src.tabletop.subject import CATALOGUE, NAME

    scenes = [first for seen in (FRONT, BACK) for first, _ in scenes_of(seen, count // 2, SEED)]
    toys = {OWN: CATALOGUE[NAME], **{one.name: one.parts for one in look_alikes()}}
    with replaced_folder(out) as folder:
        for name, parts in toys.items():
            pictures = render(scenes, side, side, OVERSAMPLING, {NAME: parts}).permute(0, 3, 1, 2)
            save_samples(folder, {name: pictures})


@one_line("tabletop_lookalikes")
def main() -> None:
    """Renders, or measures and prints."""
    parser = command_line("tabletop_lookalikes", __doc__)
    parser.add_argument("--trials", type=int, default=0, help="pairs for each difference; 0 renders the folders")
    parser.add_argument("--out", type=Path, default=layout.LOOKALIKES)
    wanted = parser.parse_args()
    config = load_settings(["model=tabletop"])
    side, device = config.model.resolution, choose_device(config.device)
    if not wanted.trials:
        render_folders(wanted.out, side, PHOTOS)
        print(f"{wanted.out}: {PHOTOS} pictures of each toy")
        return
    from src.pretraining.reconstruction import load_perceptual
    from src.tabletop.telling import Telling, tell_apart

    metric_models = {
        name: build(config.metric_models[key], f"metric_models.{key}")
        for name, key in (("dino", "dino"), ("clip_i", "clip"))
    }
    extractors = {name: metric_model.load(str(device)) for name, metric_model in metric_models.items()}
    perceptual = load_perceptual(config.metric_models["lpips"]["id"], device)
    torch.manual_seed(SEED)
    rows: list[Telling] = tell_apart(extractors, perceptual, side, wanted.trials, device)
    print("| difference | amount | " + " | ".join(rows[0].right) + " |")
    print("|---|---|" + "---|" * len(rows[0].right))
    for row in rows:
        print(
            f"| {row.difference} | {row.amount} | " + " | ".join(f"{value:.0%}" for value in row.right.values()) + " |"
        )


if __name__ == "__main__":
    main()
