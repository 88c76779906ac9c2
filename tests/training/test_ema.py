import torch
from diffusers.training_utils import EMAModel

from src.training.ema import WeightAverage, warmed_up


def test_average_is_that_of_diffusers():
    """EMAModel without use_ema_warmup follows (1 + step) / (10 + step), too."""
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    theirs = EMAModel(network.parameters(), decay=0.9)
    ours = WeightAverage(dict(network.named_parameters()))
    for step in range(20):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        theirs.step(network.parameters())
        # theirs counts the first update as step 1 and copies in the update before it
        ours.update(0.0 if step == 0 else warmed_up(0.9, step))
    for mine, their in zip(ours.tensors.values(), theirs.shadow_params, strict=True):
        torch.testing.assert_close(mine, their)


def test_average_stands_in_for_the_weights_and_goes_again():
    network = torch.nn.BatchNorm1d(2)
    average = WeightAverage(network.state_dict())
    with torch.no_grad():
        network.weight.fill_(5.0)
        network.num_batches_tracked.fill_(7)
    average.update(0.75)
    with average.in_place():
        assert network.weight.tolist() == [2.0, 2.0]
        assert int(network.num_batches_tracked) == 7
    assert network.weight.tolist() == [5.0, 5.0]
    average.load(average.tensors)
    assert network.weight.tolist() == [2.0, 2.0]
