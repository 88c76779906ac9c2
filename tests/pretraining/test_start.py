import pytest
import torch
from diffusers import UNet2DModel
from transformers import CLIPTextConfig, CLIPTextModel

from src.core.errors import MissingModelError, ModelMismatchError
from src.pretraining.start import load_start
from tests.pretraining.conftest import TEXT, UNET


def text_encoder(**changes):
    return CLIPTextModel(CLIPTextConfig(vocab_size=20, bos_token_id=0, eos_token_id=1, **TEXT | changes))


def test_training_begins_with_the_saved_weights(make_diffusion, tmp_path):
    first = make_diffusion()
    for step in range(2):
        torch.manual_seed(step)
        first.update(step)
    first.save(tmp_path)
    fresh, second = make_diffusion(), make_diffusion(start=str(tmp_path))
    wanted = first.unet.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in second.unet.state_dict().items())
    assert not all(torch.equal(value, wanted[name]) for name, value in fresh.unet.state_dict().items())
    assert second.update(0)["loss"].isfinite()


def test_half_precision_starts_in_full_precision(tmp_path):
    torch.manual_seed(0)
    saved, fresh = text_encoder(), text_encoder()
    saved.half().save_pretrained(tmp_path / "text_encoder")
    load_start(tmp_path, {"text_encoder": fresh})
    assert {value.dtype for value in fresh.state_dict().values() if value.is_floating_point()} == {torch.float32}
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, saved.state_dict()[name].to(value.dtype)), name


def test_a_unet_of_more_channels_predicts_as_the_saved_one_and_zero_in_the_new(tmp_path):
    torch.manual_seed(0)
    saved = UNet2DModel(**UNET | {"in_channels": 3, "out_channels": 3}).eval()
    wide = UNet2DModel(**UNET | {"in_channels": 5, "out_channels": 5}).eval()
    saved.save_pretrained(tmp_path / "unet")
    load_start(tmp_path, {"unet": wide})
    noisy, timesteps = torch.randn(2, 5, 8, 8), torch.tensor([100, 900])
    with torch.no_grad():
        known, predicted = saved(noisy[:, :3], timesteps).sample, wide(noisy, timesteps).sample
    torch.testing.assert_close(predicted[:, :3], known)
    assert torch.equal(predicted[:, 3:], torch.zeros(2, 2, 8, 8))
    assert known.std() > 0.01


def test_a_missing_model_and_one_of_another_size_are_refused(tmp_path):
    with pytest.raises(MissingModelError, match="no text_encoder there"):
        load_start(tmp_path, {"text_encoder": text_encoder()})
    text_encoder().save_pretrained(tmp_path / "text_encoder")
    with pytest.raises(ModelMismatchError, match="its text_encoder is of another size"):
        load_start(tmp_path, {"text_encoder": text_encoder(num_hidden_layers=2)})
    UNet2DModel(**UNET).save_pretrained(tmp_path / "unet")
    with pytest.raises(ModelMismatchError, match="its unet is of another size"):
        load_start(tmp_path, {"unet": UNet2DModel(**UNET | {"block_out_channels": [8, 16]})})
