"""The Python of README runs as it stands, on the true architecture in small."""

import re
from pathlib import Path

import torch
from PIL import Image

from src.methods.lora import LoraMethod
from src.methods.lora_files import save_adapter

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_python_of_readme_generates_with_the_adapter(load_tiny, tiny_models, tmp_path, monkeypatch):
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    adapter = tmp_path / re.search(r'"(models/adapter/[^"]+)"', code)[1]
    base = tmp_path / re.search(r'"(models/tabletop/sd)"', code)[1]
    base.parent.mkdir(parents=True)
    base.symlink_to(tiny_models / "sd1")
    model = load_tiny("sd1")
    for group in LoraMethod(4, 4.0, 0.0, ["to_q"], False, False, False, 1e-5, []).attach(model, seed=1):
        for parameter in group.parameters.values():
            parameter.data.add_(0.5)
    save_adapter(model, adapter)
    monkeypatch.chdir(tmp_path)
    generated = []
    for text in (code, re.sub(r"^pipeline\.load_lora.*\n", "", code, flags=re.M)):
        exec(compile(text, str(README), "exec"), {})
        with Image.open("bear.png") as image:
            generated.append(torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8))
    assert not torch.equal(*generated)
