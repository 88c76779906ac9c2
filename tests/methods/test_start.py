"""Training begins with a saved adapter, and only with one that fits."""

import pytest
import torch

from src.core.errors import ModelMismatchError
from src.methods.lora_files import WEIGHTS, save_adapter, start_adapter
from src.models.tensors import load_tensors
from tests.methods.test_lora import CASES, method, predict, trained


@pytest.mark.parametrize(("kind", "text", "dora"), CASES)
def test_training_can_begin_with_a_saved_adapter(load_tiny, tmp_path, kind, text, dora):
    model = trained(load_tiny, kind, text, dora)
    save_adapter(model, tmp_path)
    fresh = load_tiny(kind)
    groups = method(text, dora).attach(fresh, seed=2)
    start_adapter(fresh, tmp_path)
    torch.testing.assert_close(predict(fresh), predict(model), rtol=0, atol=1e-6)
    wanted, _ = load_tensors(tmp_path / WEIGHTS)
    parameters = [parameter for group in groups for parameter in group.parameters.values()]
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in parameters)
    total = sum(tensor.double().abs().sum().item() for tensor in wanted.values())
    assert sum(p.detach().double().abs().sum().item() for p in parameters) == pytest.approx(total)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (method(rank=2), "tensors differ from what `method` trains"),
        (method(alpha=4.0), "has alpha 8, `method` trains with 4"),
        (method(dora=True), "tensors differ"),
    ],
)
def test_an_adapter_of_another_method_is_no_start(load_tiny, tmp_path, other, message):
    save_adapter(trained(load_tiny, "sd1", False, False), tmp_path)
    fresh = load_tiny("sd1")
    other.attach(fresh, seed=1)
    with pytest.raises(ModelMismatchError, match=message):
        start_adapter(fresh, tmp_path)
