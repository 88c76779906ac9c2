from src.commands import plots_template
from src.core.config import load_settings
from src.reporting.sections.summary import method_name
from src.stages import report
from tests.reporting.project import make_project


def test_report_stage_writes_the_page_of_the_working_directory(tmp_path, monkeypatch):
    make_project(tmp_path, photos=5)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report.Stage, "main", lambda stage: stage.body(load_settings(["model=tabletop"])))
    report.main()
    text = (tmp_path / "metrics/report.html").read_text()
    assert "The embedded model knows a small world" in text
    assert str(tmp_path) not in text


def test_report_stage_names_the_method():
    names = {
        "lora": "LoRA, rank 16",
        "dora": "DoRA, rank 16",
        "rslora": "rsLoRA, rank 16",
        "lokr": "LoKr, rank 16",
        "oft": "OFT",
        "dreambooth": "DreamBooth",
        "textual_inversion": "Textual Inversion",
        "pivotal": "LoRA, rank 16 + Textual Inversion",
        "custom_diffusion": "own weights of attn2.to_k, attn2.to_v + Textual Inversion",
    }
    assert {name: method_name(load_settings([f"method={name}"]).method) for name in names} == names
    assert method_name({"_target_": "src.models.full.FullMethod"}) == "Full"


def test_plots_template_goes_where_dvc_looks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["plots_template"])
    plots_template.main()
    assert "{plot_divs}" in (tmp_path / ".dvc/plots.html").read_text()
