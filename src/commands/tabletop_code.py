"""Writes which code each stage of tabletop/dvc.yaml runs. Reads src/ and configs/scratch, writes tabletop/code/."""

from src.commands.usage import command_line
from src.core import layout
from src.core.stage_code import write_tabletop_code


def main() -> None:
    """Writes it."""
    command_line("tabletop_code", __doc__).parse_args()
    write_tabletop_code(layout.WORLD_CODE)


if __name__ == "__main__":
    main()
