from dataclasses import replace

import pytest
import torch

from src.core.errors import ConfigError
from src.pretraining.conditions import ClassCondition
from tests.pretraining.conftest import CPU, image_set


@pytest.mark.parametrize(
    ("condition", "wanted"), [("none", [None] * 3), ("class", [0, 2, 1]), ("text", ["a red mug", "", "a mug on wood"])]
)
def test_update_and_sample_work_for_every_condition(condition, wanted, make_diffusion):
    task = make_diffusion(condition)
    before = {name: [p.clone() for p in net.parameters()] for name, net in task.networks.items()}
    for step in range(2):
        torch.manual_seed(step)
        assert task.update(step)["loss"].isfinite()
    for name, network in task.networks.items():
        assert any(not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)), name
    images = task.sampler.sample(wanted, seed=1, steps=2, guidance=3.0, batch_size=2)
    assert images.shape == (3, 3, 8, 8)
    assert images.dtype == torch.uint8


def test_sampling_is_a_function_of_seed_and_place(make_diffusion):
    task = make_diffusion()
    wanted = [0, 1, 2, 0, 1]
    images = task.sampler.sample(wanted, 5, 3, 2.0, batch_size=5)
    assert torch.equal(task.sampler.sample(wanted, 5, 3, 2.0, batch_size=5), images)
    in_parts = task.sampler.sample(wanted, 5, 3, 2.0, batch_size=2)
    assert (in_parts.int() - images.int()).abs().max() <= 1
    assert not torch.equal(task.sampler.sample(wanted, 6, 3, 2.0, batch_size=5), images)
    assert not torch.equal(images[0], images[3])


def test_guidance_asks_the_unet_for_the_label_that_stands_for_none(make_diffusion, monkeypatch):
    task = make_diffusion()
    asked = []
    forward = task.unet.forward

    def watched(sample, timestep, class_labels):
        asked.append(class_labels.tolist())
        return forward(sample, timestep, class_labels=class_labels)

    monkeypatch.setattr(task.unet, "forward", watched)
    cond_only = task.sampler.sample([0, 2], 1, 2, 1.0, 4)
    assert asked == [[0, 2]] * 2
    asked.clear()
    guided = task.sampler.sample([0, 2], 1, 2, 4.0, 4)
    # 3 classes: number 3 says nothing
    assert asked == [[0, 2, 3, 3]] * 2
    assert not torch.equal(cond_only, guided)


def test_class_dropout_leaves_out_its_share():
    images = image_set(6, 0)
    condition = ClassCondition(images.classes, 0.25, CPU)
    torch.manual_seed(0)
    rows = torch.arange(6).repeat(1000)
    labels = condition.training_arguments(images, rows, 0)["class_labels"]
    left_out = labels == 3
    # 6000 generates: the deviation is 0.006
    assert float(left_out.float().mean()) == pytest.approx(0.25, abs=0.025)
    assert torch.equal(labels[~left_out], images.labels[rows][~left_out])


def test_evaluation_repeats_and_leaves_networks_in_training_mode(make_diffusion):
    task = make_diffusion()
    assert task.evaluate() == task.evaluate()
    assert task.unet.training


def first_loss(task):
    torch.manual_seed(0)
    return float(task.update(0)["loss"])


def test_subject_weight_moves_the_loss_towards_the_subject(make_diffusion):
    images = image_set(12, 0)
    halves = {
        name: first_loss(make_diffusion(train_set=replace(images, masks=masks), subject_weight=1e6))
        for name, masks in {"upper": images.masks, "lower": 1 - images.masks}.items()
    }
    plain = first_loss(make_diffusion())
    # the mask is one half of every image: with weight w the loss is (w upper + lower) / (w + 1)
    weighted = first_loss(make_diffusion(subject_weight=3.0))
    assert (halves["upper"] + halves["lower"]) / 2 == pytest.approx(plain, rel=1e-4)
    assert (3 * halves["upper"] + halves["lower"]) / 4 == pytest.approx(weighted, rel=1e-4)
    assert abs(halves["upper"] - halves["lower"]) > 1e-3
    everywhere = replace(images, masks=torch.ones_like(images.masks))
    assert first_loss(make_diffusion(train_set=everywhere, subject_weight=3.0)) == pytest.approx(plain, rel=1e-6)


def test_subject_weight_needs_masks_and_a_sensible_value(make_diffusion):
    with pytest.raises(ConfigError, match=r"subject_weight=2.0: these images have no masks"):
        make_diffusion(train_set=replace(image_set(12, 0), masks=None), subject_weight=2.0)
    with pytest.raises(ConfigError, match=r"subject_weight=0.5: expected a number from 1 on"):
        make_diffusion(subject_weight=0.5)


def test_misfits_are_refused(make_diffusion, make_gan):
    with pytest.raises(ConfigError, match=r"images of 16 px; train_data has 8 px"):
        make_diffusion(val_set=image_set(6, 1, side=16))
    with pytest.raises(ConfigError, match="other classes than train_data: cat, fox"):
        make_diffusion(val_set=image_set(6, 1, classes=("dog", "fox", "mug")))
    make_diffusion("none", val_set=image_set(6, 1, classes=("dog", "fox", "mug")))
    with pytest.raises(ConfigError, match=r"sample_size=8: the images are 16 cells wide"):
        make_diffusion(train_set=image_set(6, 0, side=16), val_set=image_set(6, 1, side=16))
    with pytest.raises(ConfigError, match="expected none, class or text"):
        make_diffusion("sound")


def test_a_model_by_text_needs_an_autoencoder_and_captions_before_it_trains(make_diffusion):
    with pytest.raises(ConfigError, match="StableDiffusionPipeline"):
        make_diffusion("text", vae=None)
    with pytest.raises(ConfigError, match="no captions"):
        make_diffusion("text", train_set=replace(image_set(6, 0), captions=None))


def test_looking_and_saving_leave_the_networks_as_they_train(make_diffusion, tmp_path):
    task = make_diffusion("text")
    modes = [module.training for module in task.unet.modules()]
    task.evaluate()
    task.save(tmp_path)
    # a compiled denoiser would be compiled once more for another mode
    assert [module.training for module in task.unet.modules()] == modes
    assert all(modes)


@pytest.mark.slow
def test_a_compiled_update_does_what_a_plain_one_does(make_diffusion):
    tasks = [make_diffusion("text", compiled=compiled) for compiled in (False, True)]
    for task in tasks:
        torch.manual_seed(0)
        task.update(0)
    plain, compiled = (task.networks["unet"].state_dict() for task in tasks)
    assert plain.keys() == compiled.keys()
    # Adam's first step is the learning rate wherever a gradient is not nearly zero
    far = sum(int((plain[name] - compiled[name]).abs().gt(1e-3).sum()) for name in plain)
    assert far < 0.02 * sum(value.numel() for value in plain.values())
