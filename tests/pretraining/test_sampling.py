import pytest
import torch

from src.core.errors import ConfigError, MissingModelError
from src.pretraining.sampling import load_sampler, load_vae, saved_classes
from tests.pretraining.conftest import CPU


@pytest.mark.parametrize("condition", ["none", "class"])
@pytest.mark.parametrize("kind", ["diffusion", "gan"])
def test_a_saved_model_generates_what_the_trained_one_generates(kind, condition, make_diffusion, make_gan, tmp_path):
    task = {"diffusion": make_diffusion, "gan": make_gan}[kind](condition)
    task.save(tmp_path)
    wanted = [2, 0, 1] if condition == "class" else [None] * 3
    sampler = load_sampler(tmp_path, "no", CPU)
    images = sampler.sample(wanted, 7, 3, 2.0, 2)
    assert images.shape == (3, 3, 8, 8)
    assert torch.equal(images, task.sampler.sample(wanted, 7, 3, 2.0, 2))
    assert saved_classes(tmp_path) == (["cat", "dog", "mug"] if condition == "class" else [])


def test_latents_of_a_saved_model_are_decoded_by_its_own_autoencoder(make_diffusion, autoencoder, tmp_path):
    task = make_diffusion("none", vae=autoencoder)
    task.save(tmp_path / "model")
    sampler = load_sampler(tmp_path / "model", "no", CPU)
    images = sampler.sample([None] * 2, 7, 3, 1.0, 2)
    assert torch.equal(images, task.sampler.sample([None] * 2, 7, 3, 1.0, 2))
    sampler.vae = None
    assert not torch.equal(images, sampler.sample([None] * 2, 7, 3, 1.0, 2))


def test_what_is_no_model_from_noise_is_refused(tmp_path):
    with pytest.raises(MissingModelError, match="no model there"):
        load_sampler(tmp_path, "no", CPU)
    with pytest.raises(MissingModelError, match="no autoencoder there"):
        load_vae(tmp_path, CPU)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ConfigError, match="generates by text"):
        load_sampler(tmp_path, "no", CPU)
