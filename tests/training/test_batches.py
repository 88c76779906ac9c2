import torch
from diffusers import DDPMScheduler

from src.noise.diffusion import DiscreteDiffusion
from src.training.batches import LatentSet, SamplingPlan, pick_item, sample_batch


def make_set(count=5, views=1):
    torch.manual_seed(0)
    mean, std = torch.randn(2, views, count, 4, 8, 8)
    return LatentSet(
        [f"id{i}" for i in range(count)],
        mean,
        std.abs(),
        [f"caption {i}" for i in range(count)],
        torch.arange(count * 2.0).view(count, 2),
    )


PROCESS = DiscreteDiffusion(DDPMScheduler().alphas_cumprod, "epsilon")
PLAN = SamplingPlan(seed=7, process=PROCESS, caption_dropout=0.3)


def test_every_epoch_shows_every_item_once_in_another_order():
    epochs = [[pick_item(3, "instance", epoch * 6 + i, 6) for i in range(6)] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_a_slot_is_the_same_however_the_step_is_divided():
    data = make_set(views=2)
    whole = sample_batch(data, "instance", 9, range(4), 4, PLAN)
    for slot in range(4):
        alone = sample_batch(data, "instance", 9, [slot], 4, PLAN)
        for field in ("latents", "noise", "time", "size_px"):
            assert torch.equal(getattr(alone, field)[0], getattr(whole, field)[slot])
        assert alone.captions[0] == whole.captions[slot]


def test_generates_differ_by_step_slot_purpose_and_seed():
    data = make_set()
    draws = [sample_batch(data, "instance", 0, [0, 1], 2, PLAN).noise]
    draws += [sample_batch(data, "instance", 1, [0], 2, PLAN).noise, sample_batch(data, "class", 0, [0], 2, PLAN).noise]
    draws += [sample_batch(data, "instance", 0, [0], 2, SamplingPlan(8, PROCESS, 0.3)).noise]
    noises = torch.cat(draws).flatten(1)
    assert len({tuple(row.tolist()) for row in noises}) == len(noises)


def test_generating_leaves_the_global_stream_alone():
    data = make_set()
    before = torch.get_rng_state()
    sample_batch(data, "instance", 0, [0], 1, PLAN)
    assert torch.equal(before, torch.get_rng_state())


def test_statistics_are_what_they_should_be():
    batch = sample_batch(make_set(), "instance", 0, range(400), 400, PLAN)
    assert abs(float(batch.noise.mean())) < 0.02
    assert abs(float(batch.noise.std()) - 1) < 0.02
    assert 450 < float(batch.time.float().mean()) < 550
    assert batch.time.min() >= 0
    assert batch.time.max() < 1000
    assert 0.2 < sum(caption == "" for caption in batch.captions) / 400 < 0.4
