import pytest
import torch

from benchmarks import bench_methods
from benchmarks.bench_methods import line, main, measure
from benchmarks.real_bases import build


def test_a_method_is_measured_at_toy_size():
    whole, few = measure("tiny15", "dreambooth"), measure("tiny15", "textual_inversion")
    model = build("tiny15", "fp32", torch.device("cpu"))
    assert whole["parameters"] == sum(weight.numel() for weight in model.pipeline.unet.parameters())
    assert few["parameters"] == model.pipeline.text_encoder.config.hidden_size
    # a backward pass over weights beside that over activations
    assert whole["tflop"] > 1.2 * few["tflop"] > 0
    assert min(whole["seconds"], whole["floor"], whole["gib"]) > 0
    assert line("tiny15", "dreambooth", whole).startswith(f"| tiny15 | dreambooth | {whole['parameters']:,} |")


def test_words_that_are_neither_size_nor_method_and_sizes_without_a_gpu_are_refused(monkeypatch):
    with pytest.raises(SystemExit, match="magic: expected of sd15"):
        main(["magic"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here; at the size of sd15"):
        main(["lora"])


def test_a_method_that_fails_does_not_stop_the_others_and_is_named(monkeypatch, capsys):
    class Ended:
        def __init__(self, command):
            self.returncode = int(command[-1] == "lora")
            self.stdout = '{"parameters": 5, "seconds": 2, "gib": 1, "tflop": 1, "floor": 1}\n'

    monkeypatch.setattr(bench_methods.subprocess, "run", lambda command, **_: Ended(command))
    with pytest.raises(SystemExit, match=r"could not be measured, the reason is above: lora on tiny15$"):
        main(["tiny15", "lora", "oft"])
    assert "| tiny15 | oft | 5 | 2.000 | 1.0 | 1 | 1 | 50% |" in capsys.readouterr().out
