"""What `export_lora` writes is read back: the same layers, the same changes, the same image."""

from pathlib import Path

import pytest
import torch

from src.commands.export_lora import export
from src.core.errors import ModelMismatchError
from src.methods.foreign.opening import open_adapter
from src.methods.foreign.updates import WHOLE
from src.methods.formats import find_format
from src.methods.weighted import Weighted, together
from src.sampling.variants import list_checkpoints
from tests.exporting.test_layouts import changes, saved
from tests.methods.foreign.layouts import table
from tests.methods.test_lora import picture, predict

CASES = [
    ("kohya", "lora", "sd1"),
    ("kohya", "lora", "sd2"),
    ("kohya", "lora", "sdxl"),
    ("kohya", "loha", "sd2"),
    ("kohya", "lokr", "sdxl"),
    ("full", "dora", "sd1"),
    ("full", "dreambooth", "sdxl"),
    ("diffusers", "lora", "sd1"),
    ("diffusers", "lora", "sd2"),
    ("diffusers", "lora", "sdxl"),
    ("diffusers", "lora", "sd3"),
    ("diffusers", "lora", "flux"),
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))


@pytest.mark.parametrize(("layout", "name", "kind"), CASES)
def test_an_export_is_read_back(load_tiny, tiny_models, tmp_path, layout, name, kind):
    folder = saved(load_tiny, tmp_path / name, name, kind)
    export(folder, tmp_path / "toy.safetensors", layout, [f"model.id={tiny_models / kind}"])
    [variant] = list_checkpoints(tmp_path / "toy.safetensors")
    wanted, found = changes(load_tiny, folder, kind), changes(load_tiny, variant.folder, kind)
    assert variant.name == "toy"
    assert found.keys() == wanted.keys()
    for layer, change in wanted.items():
        # half precision
        torch.testing.assert_close(found[layer], change, rtol=4e-3, atol=3e-4)
    if kind not in ("sd1", "sd3"):
        return  # images of two bases tell that changes are all that draws
    images = []
    for one in (folder, variant.folder):
        model = load_tiny(kind)
        with find_format(one).applied(model, one):
            images.append(picture(model))
    plain = (images[0] - picture(load_tiny(kind))).abs().float().mean()
    assert (images[0] - images[1]).abs().float().mean() < 0.02 * plain


def test_an_export_whose_tensors_are_not_those_of_its_base_is_refused(load_tiny, tiny_models, tmp_path):
    folder = saved(load_tiny, tmp_path / "lora", "lora", "sdxl")
    export(folder, tmp_path / "toy.safetensors", "kohya", [f"model.id={tiny_models / 'sdxl'}"])
    opened, model = open_adapter(tmp_path / "toy.safetensors"), load_tiny("sd1")
    with pytest.raises(ModelMismatchError, match=r"another base model|does not have"):
        find_format(opened).check_fit(model, opened)


def row(layout, kind):
    """The row of docs/formats.md that an export is read as."""
    if layout == "diffusers":
        return "diffusers, with header"
    return "kohya, names of Stability's code" if kind == "sdxl" else "kohya, names of diffusers"


def test_the_documented_table_is_what_these_tests_read_and_write():
    """Prints the right one: `python -m pytest` of this test shows it where the document differs."""
    written = {}
    for layout, name, kind in CASES:
        if name == "lora":
            written.setdefault(row(layout, kind), set()).add(kind)
    text = Path("docs/formats.md").read_text(encoding="utf-8")
    assert table(written) in text, table(written)
    assert all(kind in text for kind in WHOLE)


@pytest.mark.parametrize(("dtype", "fuse"), [("fp32", True), ("fp32", False), ("bf16", None)])
def test_half_of_an_export_is_half_of_what_it_changes(load_tiny, tiny_models, tmp_path, dtype, fuse):
    """Biases and norms, too, which cannot be kept beside the base."""
    folder = saved(load_tiny, tmp_path / "dreambooth", "dreambooth", "sd1")
    export(folder, tmp_path / "toy.safetensors", "full", [f"model.id={tiny_models / 'sd1'}"])
    [variant] = list_checkpoints(tmp_path / "toy.safetensors")
    model, wanted = load_tiny("sd1", dtype), load_tiny("sd1")
    plain = predict(model)
    for name, change in variant.format.changes(wanted, variant.folder).items():
        wanted.pipeline.unet.get_parameter(name.removeprefix("unet.")).data.add_(0.5 * change)
    with together(model, [Weighted(variant.format, variant.folder, 0.5)], fuse):
        half = predict(model)
    assert torch.equal(predict(model), plain)
    moved = (predict(wanted) - predict(load_tiny("sd1"))).abs().max()
    assert (half.float() - predict(wanted)).abs().max() < (1e-3 if dtype == "fp32" else 0.1) * moved
