import numpy as np
import pandas as pd
import pytest
import torch

from src.tabletop import world
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.render import cover, render
from src.tabletop.scene import triples
from src.tabletop.toys import CLASSES, COLOURS
from src.tabletop.world import IMAGES, MASKS, SCENES, VIEWS, plan_world, render_world, scene_table

COUNT, SIDE, SHARD = 10, 16, 4


class Here:
    """Stands in for the pool: renders in this process, because starting others takes seconds."""

    def __init__(self, *_, **__):
        self.map = map

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.fixture
def rendered(monkeypatch):
    """The scenes that were rendered rather than found, shard by shard."""
    shards = []

    def spy(scenes, *arguments, **options):
        shards.append(len(scenes))
        return render(scenes, *arguments, **options)

    monkeypatch.setattr(world, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(world, "SHARD", {"cpu": SHARD})
    monkeypatch.setattr(world, "render", spy)
    threads = torch.get_num_threads()
    yield shards
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def scenes():
    return plan_world("train", COUNT, 1)


def sample(tmp_path, scenes, name="out", side=SIDE, rays=1):
    render_world(tmp_path / name, tmp_path / "cache", scenes, side, rays, torch.device("cpu"))
    return (tmp_path / name / IMAGES).read_bytes(), (tmp_path / name / SCENES).read_bytes()


def triple(scene):
    return scene.toy.name, scene.toy.colour, scene.background


def test_plan_world_depends_on_purpose_and_seed():
    plan = plan_world("train", 40, 1)
    assert plan == plan_world("train", 40, 1)
    assert plan[:20] == plan_world("train", 20, 1)
    assert not {scene.toy for scene in plan} & {scene.toy for scene in plan_world("val", 40, 1)}
    assert plan != plan_world("train", 40, 2)


@pytest.mark.parametrize("purpose", ["train", "val"])
def test_plan_world_never_shows_a_held_out_combination(purpose):
    plan = plan_world(purpose, 4000, 42)
    held_out = set(triples(42)[1])
    assert len(held_out) == 200
    assert not {triple(scene) for scene in plan} & held_out
    for position, words in enumerate((CLASSES, COLOURS, BACKGROUNDS)):
        assert {triple(scene)[position] for scene in plan} == set(words)


def test_plan_world_shows_each_toy_from_other_sides_on_other_grounds():
    plan = plan_world("train", 400, 42)
    for first, second in zip(plan[::VIEWS], plan[1::VIEWS], strict=True):
        assert first.toy == second.toy
        assert first.background != second.background
        assert first.azimuth != second.azimuth
    assert len({scene.toy for scene in plan}) == len(plan) // VIEWS


def test_scene_table_is_the_scenes(scenes):
    table = scene_table(scenes)
    assert table["toy"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert list(zip(table["name"], table["colour"], table["background"], strict=True)) == [triple(s) for s in scenes]
    assert table["azimuth"].tolist() == pytest.approx([scene.azimuth for scene in scenes], abs=0.006)
    assert not table.isna().any().any()


def test_render_world_writes_pictures_and_their_scenes(tmp_path, scenes, rendered):
    sample(tmp_path, scenes)
    images = np.load(tmp_path / "out" / IMAGES)
    assert images.dtype == np.uint8
    assert np.array_equal(images, render(scenes, SIDE, SIDE, 1).numpy())
    assert np.array_equal(np.load(tmp_path / "out" / MASKS), cover(scenes, SIDE).numpy())
    assert pd.read_csv(tmp_path / "out" / SCENES).equals(scene_table(scenes))
    assert rendered == [4, 4, 2]


def test_render_world_in_another_process_gives_the_same_bytes(tmp_path, scenes, monkeypatch):
    monkeypatch.setattr(world.os, "cpu_count", lambda: 1)
    sample(tmp_path, scenes)
    assert np.array_equal(np.load(tmp_path / "out" / IMAGES), render(scenes, SIDE, SIDE, 1).numpy())


def test_render_world_goes_on_where_it_was_stopped(tmp_path, scenes, rendered, monkeypatch):
    spy, calls = world.render, []

    def stopping(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return spy(*arguments, **options)

    monkeypatch.setattr(world, "render", stopping)
    with pytest.raises(KeyboardInterrupt):
        sample(tmp_path, scenes)
    assert not (tmp_path / "out").exists()
    assert rendered == [4, 4]
    found = sample(tmp_path, scenes)
    assert rendered == [4, 4, 2]
    assert np.array_equal(np.load(tmp_path / "out" / IMAGES), render(scenes, SIDE, SIDE, 1).numpy())
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    assert sample(tmp_path, scenes) == found
    assert rendered[3:] == [4, 4, 2]
    for file in sorted((tmp_path / "cache").iterdir())[:2]:  # a shard and its masks
        file.write_bytes(file.read_bytes()[:-40] + b"damaged." * 5)
    assert sample(tmp_path, scenes) == found
    assert len(rendered) == 7


def test_render_world_takes_no_shard_of_another_world(tmp_path, scenes, rendered):
    sample(tmp_path, scenes[:6])
    assert rendered == [4, 2]
    # more pictures: the first shard is the same one, the second was shorter
    sample(tmp_path, scenes)
    assert rendered == [4, 2, 4, 2]
    assert np.array_equal(np.load(tmp_path / "out" / IMAGES), render(scenes, SIDE, SIDE, 1).numpy())
    for other in ({"side": 20}, {"rays": 2}, {"scenes": plan_world("train", COUNT, 2)}):
        rendered.clear()
        sample(tmp_path, **{"scenes": scenes, "name": "other", **other})
        assert sum(rendered) == COUNT, other
    rendered.clear()
    sample(tmp_path, scenes)
    assert rendered == []


def test_render_world_takes_no_shard_of_other_code(tmp_path, scenes, rendered, monkeypatch):
    sample(tmp_path, scenes)
    rendered.clear()
    monkeypatch.setattr(world, "code_digest", lambda *_: "other code")
    sample(tmp_path, scenes)
    assert sum(rendered) == COUNT
