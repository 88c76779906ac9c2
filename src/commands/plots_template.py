"""Writes .dvc/plots.html, with which `dvc plots show` and `dvc plots diff` work without a network: DVC's own
fetches the chart library.

Not a stage of dvc.yaml: the file is git-ignored and made once per checkout; `.dvc/config` names it as
`plots.html_template`.
"""

from pathlib import Path

from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.core.files import write_text
from src.reporting.templating import inline_library

# DVC 3's plot templates are written for Vega-Lite 5
VEGA_LITE = "5.20"
# DVC fills in scripts of its own, with numbers that nobody knows yet, so no hash can name them: this keeps out the
# network, not scripts
POLICY = "default-src 'none'; img-src file: data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="POLICY">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh_tag}
<title>DVC plots</title>
<style>
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 24px auto; max-width: 1100px; padding: 0 16px; }
table { border-spacing: 12px; }
img { max-width: 100%; height: auto; }
</style>
<script>LIBRARY</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def write_plots_template(path: Path) -> None:
    """Writes the template that `plots.html_template` in DVC's config names.

    Args:
        path: Where to; DVC reads the setting relative to .dvc/.
    """
    write_text(path, PAGE.replace("POLICY", POLICY).replace("LIBRARY", inline_library(VEGA_LITE)))


@one_line("plots_template")
def main() -> None:
    """Writes the template into the working directory's .dvc/."""
    command_line("plots_template", __doc__).parse_args()
    write_plots_template(layout.DVC_TEMPLATE)


if __name__ == "__main__":
    main()
