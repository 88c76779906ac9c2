import re

from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from src.commands.plots_template import write_plots_template


def test_plots_template_makes_dvc_plots_work_without_a_network(tmp_path, browse):
    write_plots_template(tmp_path / "plots.html")
    rows = [{"step": step, "loss": 1 / (1 + step), "rev": "workspace"} for step in range(20)]
    renderer = VegaRenderer(rows, "loss", x="step", y="loss", template="linear")
    page = tmp_path / "out" / "index.html"
    render_html([renderer], page, tmp_path / "plots.html")
    text = page.read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']?http""", text)
    assert "{plot_divs}" not in text
    assert "default-src 'none'; img-src file: data:" in text
    document, complaints = browse(page)
    assert "<svg" in document or "<canvas" in document
    assert not [line for line in complaints if "ERROR" in line or "Uncaught" in line]
