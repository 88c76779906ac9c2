"""Renders the pictures that the embedded models learn from. Reads nothing, writes tabletop/world/{train,val}."""

import time
from pathlib import Path

from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.core.device import choose_device, describe_device
from src.core.files import replaced_folder, work_root
from src.core.running import end_with_dvc, held_output
from src.tabletop.world import plan_world, render_world


@one_line("tabletop_world")
def main() -> None:
    """Renders them; shards that an interrupted run rendered are kept."""
    parser = command_line("tabletop_world", __doc__)
    parser.add_argument("--train", type=int, default=30000)
    parser.add_argument("--val", type=int, default=2000)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--oversampling", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda where there is one")
    parser.add_argument("--out", type=Path, default=layout.WORLD)
    wanted = parser.parse_args()
    device = choose_device(wanted.device)
    end_with_dvc("tabletop_world")
    began = time.monotonic()
    with held_output(wanted.out), replaced_folder(wanted.out) as folder:
        for part in ("train", "val"):
            scenes = plan_world(part, getattr(wanted, part), wanted.seed)
            cache = work_root() / layout.WORLD_CACHE
            render_world(folder / part, cache, scenes, wanted.resolution, wanted.oversampling, device)
    minutes = (time.monotonic() - began) / 60
    print(f"{wanted.out}: {wanted.train + wanted.val} pictures in {minutes:z.1f} minutes on {describe_device(device)}")


if __name__ == "__main__":
    main()
