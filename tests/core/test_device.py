import pytest
import torch

from src.core.device import choose_device
from src.core.errors import ConfigError


def test_device_is_what_was_asked_for(monkeypatch):
    assert choose_device("cpu").type == "cpu"
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device(None).type == ("cuda" if there else "cpu")
    with pytest.raises(ConfigError, match="no CUDA device"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="expected null, cuda or cpu"):
        choose_device("gpu")
