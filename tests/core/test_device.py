import pytest
import torch

from src.core.device import choose_device, choose_precision, describe_device
from src.core.errors import ConfigError


def test_device_is_what_was_asked_for(monkeypatch):
    assert choose_device("cpu").type == "cpu"
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device(None).type == ("cuda" if there else "cpu")
    with pytest.raises(ConfigError, match="no CUDA device"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="expected null, cuda, mps or cpu"):
        choose_device("gpu")
    for there in (False, True):
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=there: there)
        assert choose_device(None).type != "mps"
        if there:
            assert choose_device("mps").type == "mps"
        else:
            with pytest.raises(ConfigError, match="no GPU of Apple"):
                choose_device("mps")


@pytest.mark.parametrize(("there", "chosen"), [(True, "bf16"), (False, "no")])
def test_auto_precision_is_bf16_where_it_is_fast(monkeypatch, there, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": there})
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: there)
    for kind in ("cpu", "cuda"):
        assert choose_precision("auto", torch.device(kind)) == chosen
        assert choose_precision("no", torch.device(kind)) == "no"
        assert choose_precision("bf16", torch.device(kind)) == "bf16"


def test_precision_refuses_other_names():
    with pytest.raises(ConfigError, match="mixed_precision=fp16: expected auto, no or bf16"):
        choose_precision("fp16", torch.device("cpu"))


def test_a_device_is_described_by_name_and_threads(monkeypatch):
    assert describe_device(torch.device("cpu")).endswith(f", {torch.get_num_threads()} threads")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Abacus on {device}")
    assert describe_device(torch.device("cuda")) == "Abacus on cuda"
