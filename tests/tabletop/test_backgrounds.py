import pytest
import torch

from src.tabletop.backgrounds import BACKGROUNDS, background_colour

SIDE = torch.linspace(-12, 12, 300)
X, Y = (grid.contiguous() for grid in torch.meshgrid(SIDE, SIDE, indexing="ij"))


def sample(name, fade=0.0, phase=1.0):
    return background_colour(name, X, Y, torch.full_like(X, fade), torch.tensor(phase))


def test_grounds_are_as_many_as_the_world_promises():
    assert len(set(BACKGROUNDS)) == len(BACKGROUNDS) == 10
    assert list(BACKGROUNDS) == sorted(BACKGROUNDS)


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_ground_colour_is_a_colour_with_a_texture(name):
    colours = sample(name)
    assert colours.shape == (*X.shape, 3)
    assert float(colours.min()) >= 0
    assert float(colours.max()) <= 1
    assert float(colours.std((0, 1)).max()) > 0.02


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_ground_colour_fades_to_its_mean(name):
    faded = sample(name, fade=1.0)
    assert torch.allclose(faded, faded[0, 0].expand_as(faded), atol=1e-6)
    assert torch.allclose(faded[0, 0], sample(name).mean((0, 1)), atol=0.03)
    half = sample(name, fade=0.5)
    assert torch.allclose(half, (faded + sample(name)) / 2, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in BACKGROUNDS if name not in ("cloth",)])
def test_ground_colour_differs_from_piece_to_piece(name):
    assert not torch.equal(sample(name, phase=1.0), sample(name, phase=4.0))


def test_ground_colours_can_be_told_apart():
    # mean and spread of each channel; the nearest two are asphalt and nothing like it
    looks = torch.stack([torch.cat([sample(name).mean((0, 1)), sample(name).std((0, 1))]) for name in BACKGROUNDS])
    gaps = torch.cdist(looks, looks) + torch.eye(len(BACKGROUNDS))
    assert float(gaps.min()) > 0.1


def test_ground_colour_refuses_an_unknown_name():
    with pytest.raises(KeyError, match="lava"):
        sample("lava")
