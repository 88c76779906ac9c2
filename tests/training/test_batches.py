from dataclasses import replace

import torch
from diffusers import DDPMScheduler

from src.noise.diffusion import DiscreteDiffusion
from src.training.batches import LatentSet, SamplingPlan, cell_weights, pick_item, sample_batch


def make_set(count=5, views=1):
    torch.manual_seed(0)
    mean, std = torch.randn(2, views, count, 4, 8, 8)
    return LatentSet(
        [f"id{i}" for i in range(count)],
        mean,
        std.abs(),
        [f"caption {i}" for i in range(count)],
        torch.arange(count * 2.0).view(count, 2),
        None,
    )


PROCESS = DiscreteDiffusion(DDPMScheduler().alphas_cumprod, "epsilon")
PLAN = SamplingPlan(seed=7, process=PROCESS, caption_dropout=0.3, noise_offset=0.0)


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
    draws += [sample_batch(data, "instance", 0, [0], 2, SamplingPlan(8, PROCESS, 0.3, 0.0)).noise]
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


def test_an_offset_moves_whole_channels_and_no_other_draw():
    data = make_set()
    plain, moved = (
        sample_batch(data, "instance", 0, range(400), 400, SamplingPlan(7, PROCESS, 0.3, offset))
        for offset in (0.0, 0.1)
    )
    for field in ("latents", "time", "size_px"):
        assert torch.equal(getattr(plain, field), getattr(moved, field))
    assert plain.captions == moved.captions
    offset = moved.noise - plain.noise
    torch.testing.assert_close(offset, offset[..., :1, :1].expand_as(offset), rtol=0, atol=1e-6)
    assert abs(float(offset[..., 0, 0].std()) - 0.1) < 0.005
    assert abs(float(offset.mean())) < 0.005


def test_cells_follow_their_photo_and_its_view():
    data = make_set(views=2)
    cells = torch.rand(2, 5, 1, 8, 8)
    weighted = replace(data, cells=cells, mean=data.mean * 0 + torch.arange(10.0).view(2, 5, 1, 1, 1), std=data.std * 0)
    batch = sample_batch(weighted, "instance", 0, range(40), 40, PLAN)
    which = batch.latents[:, 0, 0, 0].long()
    assert len(which.unique()) == 10
    assert torch.equal(batch.cells, cells.flatten(0, 1)[which])
    other = sample_batch(data, "class", 0, range(3), 3, PLAN)
    assert cell_weights([other, other], torch.device("cpu")) is None
    both = cell_weights([batch, other], torch.device("cpu"))
    assert torch.equal(both, torch.cat([batch.cells, torch.ones(3, 1, 8, 8)]))
