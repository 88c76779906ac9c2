import pytest
import torch

from src.pretraining.reconstruction import PatchDiscriminator, hinge, joined, recoloured


def test_recolouring_moves_channels_and_keeps_their_shapes():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 4, 4) * 2 - 1
    changed = recoloured(images, 1.0)
    for before, after in zip(images, changed, strict=True):
        assert all(any(torch.equal(one.abs(), other.abs()) for other in before) for one in after)
    assert not torch.equal(changed, images)
    assert torch.equal(recoloured(images, 0.0), images)


def test_joined_adds_a_gradient_of_the_share_that_was_asked_for():
    first, second = torch.randn(2, 3, 4, 4), 1000 * torch.randn(2, 3, 4, 4)
    added = joined(first, second, 0.25) - first
    assert float(added.norm() / first.norm()) == pytest.approx(0.25, rel=1e-4)
    assert torch.nn.functional.cosine_similarity(added.flatten(), second.flatten(), dim=0) > 0.9999
    assert torch.equal(joined(first, torch.zeros_like(first), 0.25), first)


def test_the_metric_model_learns_to_tell_blurred_from_sharp():
    torch.manual_seed(0)
    metric_model = PatchDiscriminator(8)
    optimizer = torch.optim.AdamW(metric_model.parameters(), 2e-3, betas=(0.5, 0.9))
    for _ in range(40):
        sharp = torch.rand(8, 3, 32, 32).round() * 2 - 1
        blurred = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2)
        optimizer.zero_grad()
        loss = hinge(metric_model(sharp), metric_model(blurred))
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        said = metric_model(sharp)
        assert said.shape == (8, 1, 4, 4)
        assert float(said.mean()) > float(metric_model(blurred).mean()) + 0.5
    assert float(hinge(torch.tensor(1.0), torch.tensor(-1.0))) == 0
