"""Renders toys that nobody planned, which the autoencoder learns from. Reads nothing, writes tabletop/compositions."""

import time
from pathlib import Path

from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.core.files import replaced_folder, work_root
from src.tabletop.compositions import render_compositions


@one_line("tabletop_compositions")
def main() -> None:
    """Renders them; shards that an interrupted run rendered are kept."""
    parser = command_line("tabletop_compositions", __doc__)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--oversampling", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=layout.COMPOSITIONS)
    wanted = parser.parse_args()
    began = time.monotonic()
    with replaced_folder(wanted.out) as folder:
        cache = work_root() / layout.WORLD_CACHE
        render_compositions(folder, cache, wanted.count, wanted.resolution, wanted.oversampling, wanted.seed)
    print(f"{wanted.out}: {wanted.count} pictures in {(time.monotonic() - began) / 60:z.1f} minutes")


if __name__ == "__main__":
    main()
