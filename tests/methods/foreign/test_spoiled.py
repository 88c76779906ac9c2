"""Whatever somebody does to a tensor of a file, it is read or refused in one line; nothing else happens."""

import pytest
import torch

from src.core.errors import ModelMismatchError
from src.methods.foreign.bases import check_base_of
from src.methods.foreign.layers import read_updates
from src.methods.foreign.opening import open_adapter
from src.methods.formats import find_format
from src.models.tensors import load_tensors, save_tensors
from tests.methods.foreign.test_kinds import CONVOLUTION, KEYS, KINDS, file_of
from tests.methods.foreign.test_layouts import weights

SPOILT = {
    "a number": lambda tensor: tensor.flatten()[0],
    "empty": lambda tensor: tensor[:0] if tensor.ndim else tensor.reshape(1)[:0],
    "a vector": lambda tensor: tensor.flatten(),
    "one more axis": lambda tensor: tensor[None],
    "a column": lambda tensor: tensor.reshape(-1, 1),
    "transposed": lambda tensor: tensor.T if tensor.ndim == 2 else tensor.transpose(0, -1) if tensor.ndim else tensor,
    "twice as long": lambda tensor: torch.cat([tensor, tensor]) if tensor.ndim else tensor.repeat(2),
    "integers": lambda tensor: tensor.long(),
    "infinite": lambda tensor: tensor / 0,
    "eight bits": lambda tensor: tensor.to(torch.float8_e4m3fn),
}
EXTRA = {
    "dora_scale": torch.ones(7, 3),
    "lora_mid.weight": torch.ones(2, 2),
    "magnitude": torch.ones(3),
    "hada_t1": torch.ones(1),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))


def outcome(model, path, base):
    """None where it is read and applied, and else what is said."""
    try:
        folder = open_adapter(path)
        found = find_format(folder)
        found.check_file(folder)
        check_base_of(folder, base)
        found.check_fit(model, folder)
        with found.applied(model, folder):
            return None
    except ModelMismatchError as error:
        return str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_tensor_is_refused_in_one_line_or_read(load_tiny, tiny_models, tmp_path, kind):
    model, base = load_tiny("sd1"), tiny_models / "sd1"
    path, _ = file_of(tmp_path, model, kind)
    tensors, metadata = load_tensors(path)
    before, said = weights(model), []
    assert outcome(model, path, base) is None
    # those of the convolution, whose shapes say most
    own = [name for name in tensors if name.startswith(KEYS[f"unet.{CONVOLUTION}"])]
    changed = [(name, spoil(tensors[name])) for name in own for spoil in SPOILT.values()]
    changed += [(f"{name.partition('.')[0]}.{part}", more) for name in own[:1] for part, more in EXTRA.items()]
    for name, tensor in changed:
        save_tensors(path, tensors | {name: tensor.contiguous()}, metadata)
        message = outcome(model, path, base)
        said.append(message)
        assert message is None or "\n" not in message, message
        assert message is None or name.partition(".")[0] in message or "one: " in message, (name, tensor.shape, message)
    assert sum(message is not None for message in said) > len(said) / 2
    assert all(torch.equal(weight, before[name]) for name, weight in weights(model).items())


def test_what_torch_cannot_widen_or_would_widen_beyond_any_adapter_is_refused():
    four_bits = torch.zeros(4, 4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    with pytest.raises(ModelMismatchError, match=r"'unet.conv_in.lora_A.weight' holds torch.float4.*, which cannot"):
        read_updates({"unet.conv_in.lora_A.weight": four_bits})
    # 3 GiB on disk, 12 GiB as float32
    large = torch.empty(3 << 10, 1 << 20, dtype=torch.float8_e4m3fn, device="meta")
    with pytest.raises(ModelMismatchError, match="over 8 GiB in the precision that it is read in"):
        read_updates({"unet.conv_in.lora_A.weight": large})
