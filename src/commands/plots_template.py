"""Writes .dvc/plots.html, with which `dvc plots show` and `dvc plots diff` work without a network.

Not a stage of dvc.yaml: the file is git-ignored and made once per checkout; `.dvc/config` names it as
`plots.html_template`.
"""

from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.reporting.dvc_plots import write_plots_template


@one_line("plots_template")
def main() -> None:
    """Writes the template into the working directory's .dvc/."""
    command_line("plots_template", __doc__).parse_args()
    write_plots_template(layout.DVC_TEMPLATE)


if __name__ == "__main__":
    main()
