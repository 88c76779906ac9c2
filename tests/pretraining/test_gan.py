import pytest
import torch

from src.core.errors import ConfigError
from src.pretraining.gan import discriminator_loss, generator_loss
from src.pretraining.gan_networks import Discriminator, Generator, normalised_once
from tests.pretraining.conftest import PLAN, image_set


def test_hinge_losses_by_hand():
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 1.0])
    # real: 0, 0.5, 2; generated: 0, 1, 2
    assert float(discriminator_loss(real, fake)) == pytest.approx(2.5 / 3 + 1.0)
    assert float(generator_loss(fake)) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("side", "generator", "discriminator", "halvings"),
    [
        (32, [4, 4, 4, 4], [4, 4, 4, 4], 2),
        (64, [8, 8, 4, 4, 4], [4, 4, 4, 8, 8], 5),
        (128, [8, 8, 4, 4, 4, 4], [4, 4, 4, 8, 8, 8], 5),
    ],
)
def test_networks_fit_the_published_sizes(side, generator, discriminator, halvings):
    labels = torch.tensor([0, 2])
    images = Generator(generator, 4, 3)(torch.randn(2, 4), labels)
    assert images.shape == (2, 3, side, side)
    assert images.abs().max() <= 1
    assert Discriminator(discriminator, halvings, 3)(images, labels).shape == (2,)
    assert Discriminator(discriminator, halvings, 0)(images, None).shape == (2,)


def test_weights_of_the_discriminator_have_largest_singular_value_one():
    torch.manual_seed(0)
    network = Discriminator([8, 16], 1, 3)
    for _ in range(50):
        with normalised_once(network):
            pass
    network.eval().requires_grad_(False)
    for layer in (network.blocks[0].first, network.blocks[1].shortcut, network.last, network.embedding):
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert float(largest) == pytest.approx(1.0, abs=0.02)


def test_score_of_a_class_is_score_plus_projection():
    torch.manual_seed(0)
    network = Discriminator([8, 16], 1, 3).eval()
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        hidden = network.blocks[1](network.blocks[0](images))
        features = hidden.relu().sum((2, 3))
        plain = network.last(features)[:, 0]
        projected = (network.embedding.weight[torch.tensor([1, 2])] * features).sum(1)
        scores = network(images, torch.tensor([1, 2]))
    torch.testing.assert_close(scores, plain + projected)


def test_power_iteration_runs_once_for_all_calls_inside():
    network = Discriminator([8], 1, 0)
    images = torch.randn(2, 3, 8, 8)
    with normalised_once(network):
        weight = network.last.weight
        network(images, None)
        assert network.last.weight is weight
    assert network.last.weight is not weight


@pytest.mark.parametrize("condition", ["none", "class"])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_update_moves_both_networks_and_freezes_none(condition, precision, make_gan):
    task = make_gan(condition, plan={**PLAN, "mixed_precision": precision})
    before = {name: [p.clone() for p in net.parameters()] for name, net in task.networks.items()}
    torch.manual_seed(0)
    losses = task.update(0)
    assert losses.keys() == {"loss", "generator_loss"}
    assert all(value.isfinite() for value in losses.values())
    for name, network in task.networks.items():
        moved = [not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)]
        assert any(moved), name
        assert all(parameter.requires_grad for parameter in network.parameters())


def test_discriminator_is_updated_as_often_as_asked(make_gan):
    task = make_gan(discriminator_updates=3)
    torch.manual_seed(0)
    task.update(0)
    steps = {
        name: {int(memory["step"]) for memory in optimizer.state.values()}
        for name, optimizer in task.optimizers.items()
    }
    assert steps == {"generator": {1}, "discriminator": {3}}


def test_sampling_is_a_function_of_seed_place_and_class(make_gan):
    task = make_gan()
    # as after a training: classes differ
    torch.nn.init.normal_(task.generator.blocks[0].first_norm.table.weight)
    images = task.sampler.sample([0, 1, 2, 0], 5, 1, 1.0, 4)
    assert images.shape == (4, 3, 8, 8)
    assert torch.equal(task.sampler.sample([0, 1, 2, 0], 5, 1, 1.0, 4), images)
    assert (task.sampler.sample([0, 1, 2, 0], 5, 1, 1.0, 2).int() - images.int()).abs().max() <= 1
    other_class = task.sampler.sample([0, 2, 2, 0], 5, 1, 1.0, 4)
    changed = (other_class != images).flatten(1).any(1).tolist()
    assert changed == [False, True, False, False]
    assert task.generator.training
    assert {name: len(generated) for name, generated in task.samples().items()} == {"cat": 6, "dog": 6, "mug": 6}


def test_evaluation_changes_nothing(make_gan):
    task = make_gan()
    before = {key: value.clone() for key, value in task.discriminator.state_dict().items()}
    assert task.evaluate() == task.evaluate()
    assert all(torch.equal(before[key], value) for key, value in task.discriminator.state_dict().items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"generator_widths": [8, 8, 8]}, "generate images of 16 px; the data has 8 px"),
        ({"discriminator_halvings": 3}, "discriminator_halvings=3"),
        ({"discriminator_updates": 0}, "discriminator_updates=0"),
        ({"condition": "text"}, "expected none or class"),
        ({"val_set": image_set(6, 1, side=16)}, "images of 16 px"),
    ],
)
def test_values_out_of_range_are_refused(change, words, make_gan):
    with pytest.raises(ConfigError, match=words):
        make_gan(**change)
