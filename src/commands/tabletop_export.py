"""Writes pictures of the embedded world as a folder of class folders: `python -m src.commands.tabletop_export OUT`."""

from pathlib import Path

from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.pretraining.folders import export_class_folders
from src.tabletop.sources import load_world


@one_line("tabletop_export")
def main() -> None:
    """Exports; a folder that exists is refused."""
    parser = command_line("tabletop_export", __doc__)
    parser.add_argument("out", type=Path, help="for example data/class_folders")
    parser.add_argument("--world", default=str(layout.WORLD_TRAIN), help="what src.commands.tabletop_world wrote")
    wanted = parser.parse_args()
    export_class_folders(load_world(wanted.world), wanted.out)


if __name__ == "__main__":
    main()
