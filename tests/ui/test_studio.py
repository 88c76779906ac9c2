"""What the page draws, scores and keeps, without a browser."""

import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from src.core.errors import ConfigError, ModelMismatchError, StateLockedError
from src.core.picture_record import read_picture
from src.stages import drawing
from src.stages.inference import inference_stage, load_own_prompts
from src.ui.studio import NO_PHOTOS, Source, Studio, Wish, known_checkpoints
from tests.stages.own_prompts import TINY

PROMPT = "a photo of a sksToy bear"
STEPS = {"num_inference_steps": 2, "batch_size": 2}
MINE, OTHER = "models/adapter/step-000100", "other"


def wish(*sources, **more):
    return Wish(PROMPT, (3, 4), tuple(Source(*source) for source in sources), settings=STEPS, **more)


def pixels(shown):
    with Image.open(BytesIO(shown.picture.data)) as image:
        return image.convert("RGB").tobytes()


def test_base_and_adapters_stand_side_by_side_with_the_same_seeds_and_one_base_is_loaded(held_out, monkeypatch):
    loaded, told = [], []
    load = drawing.load_base_model
    monkeypatch.setattr(drawing, "load_base_model", lambda *given: loaded.append(given) or load(*given))
    studio = Studio(held_out)
    sheet = studio.draw(wish((MINE, 1.0), (MINE, 0.5), (OTHER, 1.0), together=True), told.append)
    titles = [column.title for column in sheet.columns]
    assert titles == ["base model", "step-000100", "step-000100, weight 0.5", "other", "together"]
    assert [one.picture.planned.job.seed for column in sheet.columns for one in column.shown] == [3, 4] * 5
    assert [column.prompt for column in sheet.columns] == ["a photo of a bear", *[PROMPT] * 4]
    assert len({pixels(one) for column in sheet.columns for one in column.shown}) == 10
    assert len(sheet.columns[4].shown[0].picture.record.adapters) == 3
    assert len(loaded) == 1
    assert len(studio._first.loaded.stores) == 1, "metric models are loaded once"
    assert "drawing with other" in told
    assert "scoring base model" in told


def test_scores_are_those_of_the_held_out_photos(held_out):
    studio = Studio(held_out)
    [base, mine] = studio.draw(wish((MINE, 1.0)), print).columns
    assert {"dino", "clip_t", "nn_train"} <= mine.shown[0].scores.keys()
    adapted = studio._first
    photos = Path("held")
    photos.mkdir()
    for name in ("p0.png", "p1.png"):
        (photos / name).write_bytes(Path("data/crops", name).read_bytes())
    images = [one.picture.image for one in mine.shown]
    # likeness is to the two held-out photos; the nearest training photo is of the other two
    of_held_out = adapted.score(images, photos, PROMPT)
    assert [one.scores["dino"] for one in mine.shown] == pytest.approx(list(of_held_out["dino"]))
    assert [one.scores["nn_train"] for one in mine.shown] != pytest.approx(list(of_held_out["nn_train"]))
    assert base.shown[0].scores["dino"] != mine.shown[0].scores["dino"]
    named = studio.draw(wish((MINE, 1.0), photos="held"), print).columns[1]
    assert [one.scores["nn_train"] for one in named.shown] == pytest.approx(list(of_held_out["nn_train"]))


def test_without_held_out_photos_there_are_pictures_and_a_word_about_it(own_prompts):
    sheet = Studio(TINY).draw(wish((MINE, 1.0)), print)
    assert sheet.note == NO_PHOTOS
    assert [one.scores for column in sheet.columns for one in column.shown] == [{}] * 4


def test_the_base_alone_is_asked_for_the_class(own_prompts):
    [base] = Studio(TINY).draw(wish(), print).columns
    assert (base.title, base.prompt) == ("base model", "a photo of a bear")


def test_a_kept_picture_is_repeated_to_the_byte_by_inference(own_prompts, capsys):
    studio = Studio(TINY)
    [base, mine] = studio.draw(wish((MINE, 0.5)), print).columns
    kept = [studio.keep(column.shown[1].key) for column in (base, mine)]
    assert [path.is_relative_to("outputs/kept") for path in kept] == [True, True]
    assert [read_picture(path).seed for path in kept] == [4, 4]
    for path in kept:
        inference_stage(load_own_prompts("inference", [*TINY, f"exp.from_image={path}"]))
        assert f"{path}: repeated to the byte" in capsys.readouterr().out
    assert len(Path("outputs/kept/manifest.csv").read_text().splitlines()) == 3
    with pytest.raises(ConfigError, match="draw it again"):
        studio.keep("1-00000000")


def test_errors_of_a_person_stay_one_line(own_prompts):
    studio = Studio(TINY)
    with pytest.raises(ModelMismatchError, match="nowhere"):
        studio.draw(wish(("nowhere", 1.0)), print)
    with pytest.raises(ConfigError, match="negative_prompt"):
        studio.draw(Wish(PROMPT, (1,), (), settings={**STEPS, "negative_prompt": "x", "guidance_scale": 1}), print)
    assert studio.draw(wish(), print).columns, "it is free again"


def test_one_comparison_is_drawn_at_a_time(own_prompts):
    studio, refused = Studio(TINY), []

    def draw_another(text):
        with pytest.raises(StateLockedError, match="drawn already"):
            studio.draw(wish(), print)
        refused.append(text)

    studio.draw(wish(), draw_another)
    assert refused


def test_the_chosen_checkpoint_is_listed_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert known_checkpoints() == {}
    for step in (100, 200, 300):
        (tmp_path / f"models/adapter/step-{step:06d}").mkdir(parents=True)
    Path("metrics").mkdir()
    Path("metrics/choice.json").write_text('{"variant": "step-000200"}')
    assert list(known_checkpoints().values()) == ["step-000200 (chosen)", "step-000300", "step-000100"]


def test_the_page_is_there_before_torch_is(tmp_path):
    import subprocess

    code = (
        "import sys, src.ui.studio, src.ui.photos, src.ui.pipeline, src.ui.choices; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
