"""The loss looks at the subject."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image

from src.core.config import load_settings
from src.core.errors import BadPhotoError, ConfigError
from src.data.dataset import Item
from src.losses.diffusion import DebiasedLoss
from src.stages.training_checks import check_masks, check_settings
from src.training.batches import sample_batch
from src.training.loop import train, train_step
from src.training.subject_cells import subject_cells
from tests.training.test_every_method import make

NOISE_OF_SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def save_mask(path, values):
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)
    return path


def test_masks_become_weights_of_mean_one(tmp_path):
    """Four cells of 2 x 2 pixels: none, a quarter, half and all of them the subject."""
    pixels = [[0, 0, 255, 0], [0, 0, 0, 0], [255, 255, 255, 255], [0, 0, 255, 255]]
    mask = save_mask(tmp_path / "a.png", pixels)
    empty = save_mask(tmp_path / "b.png", np.zeros((4, 4)))
    cells = subject_cells([mask, None, empty], 2, (2, 2), 0.2)
    raw = np.array([[0.2, 0.4], [0.6, 1.0]])
    np.testing.assert_allclose(cells[0, 0, 0], raw / raw.mean(), rtol=1e-6)
    np.testing.assert_allclose(cells[1, 0, 0], raw[:, ::-1] / raw.mean(), rtol=1e-6)
    assert torch.equal(cells[:, 1:], torch.ones(2, 2, 1, 2, 2))
    alone = subject_cells([mask, empty], 1, (2, 2), 0.0)
    np.testing.assert_allclose(alone[0, 0, 0], np.array([[0, 0.25], [0.5, 1]]) / 0.4375, rtol=1e-6)
    assert torch.equal(alone[0, 1], torch.ones(1, 2, 2))


def test_whole_squares_need_no_weights(tmp_path):
    mask = save_mask(tmp_path / "a.png", np.full((4, 4), 255))
    assert subject_cells([mask], 1, (2, 2), 1.0) is None
    assert subject_cells([None], 1, (2, 2), 0.5) is None


def test_a_broken_mask_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(BadPhotoError, match=r"a\.png: cannot be read"):
        subject_cells([tmp_path / "a.png"], 1, (2, 2), 0.5)


def test_photos_without_a_mask_are_told_and_none_at_all_is_refused(tmp_path, capsys):
    items = [Item(name, tmp_path, "", 1.0, mask) for name, mask in (("a", None), ("b", tmp_path))]
    check_masks(items, 0.5)
    assert "of 1 of 2 photos, whose whole squares count: a" in capsys.readouterr().out
    check_masks(items, 1.0)
    check_masks(items[1:], 0.5)
    assert not capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"background_weight=0\.5: no photo has a mask"):
        check_masks(items[:1], 0.5)


@pytest.mark.parametrize("caption", [None, "a toy"])
def test_a_step_counts_the_subject_of_the_photos_and_all_of_the_class(make_run, caption):
    """A network that says nothing: the loss is the noise's own, weighted here once more from the formulas."""
    run = make_run(prior=caption is None, prior_weight=0.5, prior_caption=caption)
    cells = torch.zeros(1, 5, 1, 8, 8)
    cells[..., 2:6, 2:6] = 4
    object.__setattr__(run.photos.train, "cells", cells)
    run.module.forward = lambda x_t, *_: torch.zeros_like(x_t).requires_grad_()
    found = train_step(run, 0)
    alpha_bar = DDPMScheduler(**NOISE_OF_SD1).alphas_cumprod
    sets = {"instance": run.photos.train, "class": run.photos.prior}
    for name, data in sets.items():
        if data is None:
            # as the base predicts: it says nothing, either
            assert found["loss_prior"] == 0
            continue
        batch = sample_batch(data, name, 0, range(4), 4, run.sampling)
        snr = alpha_bar[batch.time] / (1 - alpha_bar[batch.time])
        seen = batch.noise[:, :, 2:6, 2:6] if name == "instance" else batch.noise
        expected = (seen.square().mean((1, 2, 3)) * snr.clamp(max=5) / snr).mean()
        torch.testing.assert_close(found["loss_prior" if name == "class" else "loss_instance"], expected)


@pytest.mark.parametrize(
    "options", [{"noise_offset": 0.1}, {"loss": DebiasedLoss()}, {"cells": True}], ids=["offset", "debiased", "cells"]
)
def test_a_killed_run_ends_as_an_uninterrupted_one(make_run, options):
    cells = options.pop("cells", False)

    def run(state, **more):
        made = make_run(state=state, checkpoint_every=6, val_every=6, **options, **more)
        if cells:
            weights = torch.rand(1, 5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
            object.__setattr__(made.photos.train, "cells", weights)
        return train(made)

    whole = run("whole")
    run("parts", steps=3)
    resumed = run("parts")
    plain = train(make_run(state="plain", checkpoint_every=6, val_every=6))
    assert all(torch.equal(tensor, resumed.tensors[name]) for name, tensor in whole.tensors.items())
    assert any(not torch.equal(tensor, plain.tensors[name]) for name, tensor in whole.tensors.items())


@pytest.mark.parametrize(
    "word", ["train.noise_offset=-0.1", "train.background_weight=1.5", "train.background_weight=nan"]
)
def test_values_out_of_range_are_refused(word):
    with pytest.raises(ConfigError, match=word.split("=")[0].replace(".", r"\.")):
        check_settings(load_settings(["model=tiny", word]), make("lora"))


@pytest.mark.parametrize(("kind", "refused"), [("sd3", True), ("flux", True), ("sd2", False)])
def test_an_offset_is_refused_for_a_flow(tiny_models, kind, refused):
    words = [f"model.id={tiny_models / kind}", "train.noise_offset=0.1", "train.sample_every=0"]
    settings = load_settings(["model=tiny", *words])
    if not refused:
        check_settings(settings, make("lora"))
        return
    with pytest.raises(ConfigError, match=r"noise_offset=0\.1: the base model learns a flow"):
        check_settings(settings, make("lora"))
