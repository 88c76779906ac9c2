"""The files of inference.py: their names, their text, and how they are drawn again from it."""

import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.core.checkpoint_config import load_checkpoint_params
from src.core.errors import ConfigError
from src.core.picture_record import read_picture
from src.core.settings import WeightedAdapter
from src.sampling.prompts import all_prompts
from src.stages import generate
from src.stages.generate import generate_stage
from src.stages.inference import inference_stage, load_own_prompts
from tests.stages.own_prompts import BEAR, SMALL, TINY, draw, manifest, pixels

pytestmark = pytest.mark.usefixtures("own_prompts")


def test_no_setting_replaces_or_deletes_an_earlier_picture():
    settings = {
        "seeds": 2,
        "inferencer.weight": 0.9,
        "inferencer.ckpt_dir": "other",
        "inferencer.adapters": [WeightedAdapter("other", 0.1)],
        "inferencer.fuse": True,
        "inferencer.png_text": False,
        "sampler.class_name": "DEISMultistepScheduler",
        "sampler.options": {"algorithm_type": "dpmsolver++", "solver_order": 1},
        "validation_args.negative_prompt": "blurry",
        "validation_args.guidance_scale": 2.0,
        "validation_args.num_inference_steps": 3,
        "validation_args.batch_size": 1,
        "width": 80,
        "height": 80,
        "prompt": "A photo of a sksToy bear",
    }
    params = load_own_prompts("inference", [*SMALL, BEAR])
    draw(BEAR)
    mine = Path("outputs/pictures/mine.txt")
    mine.write_text("not ours")
    before = {}
    for number, (key, value) in enumerate(settings.items(), 2):
        changed = deepcopy(params)
        section, _, name = key.rpartition(".")
        setattr(getattr(changed, section) if section else changed, name, value)
        inference_stage(changed)
        table = manifest()
        files = {path: path.read_bytes() for path in Path("outputs").rglob("*.png")}
        assert before.items() <= files.items(), key
        assert len(files) == len(table) == table["path"].nunique() == number, key
        before = files
    assert mine.read_text() == "not ours"
    inference_stage(params)
    assert manifest().equals(table.loc[[*range(1, len(table)), 0]].reset_index(drop=True))


def test_the_prompt_set_and_pictures_of_ones_own_never_meet(monkeypatch):
    monkeypatch.setattr(generate, "all_prompts", lambda *values: all_prompts(*values)[:1])
    draw(BEAR, "inferencer.contact_sheet=true")
    before = {path: path.read_bytes() for path in Path("outputs").rglob("*.*")}
    assert len(before) == 3
    generate_stage(load_checkpoint_params("generate", [*TINY, "validation_args.num_inference_steps=2"]))
    assert before.items() <= {path: path.read_bytes() for path in Path("outputs").rglob("*.*")}.items()
    assert Path("outputs/data/samples/manifest.csv").is_file()
    draw(BEAR, "exp.run_dir=.")
    assert not Path("data").exists()


def test_a_picture_is_repeated_to_the_byte_from_itself(capsys):
    Image.effect_noise((40, 60), 60).convert("RGB").save("start.png")
    table = draw(
        BEAR,
        "seeds=7",
        "inferencer.weight=0.75",
        "inferencer.adapters=[{path: other, weight: -0.25}]",
        "sampler=ddim",
        "+sampler.options.clip_sample=true",
        "validation_args.negative_prompt=blurry, dark",
        "validation_args.guidance_scale=3.5",
        "width=80",
        "init_image=start.png",
        "strength=0.8",
        "validation_args.batch_size=3",
        small=SMALL[:-1],
    )
    path = f"outputs/pictures/{table['path'][0]}"
    capsys.readouterr()
    again = [*TINY, f"exp.from_image={path}", "exp.run_dir=again", "inferencer.adapters=[{path: other, weight: 9}]"]
    repeated = draw("init_image=start.png", small=again)
    assert f"{path}: repeated to the byte" in capsys.readouterr().out
    assert Path(f"again/pictures/{repeated['path'][0]}").read_bytes() == Path(path).read_bytes()
    # what is given besides wins
    other = draw("init_image=start.png", "seeds=8", "exp.run_dir=third", small=again)
    assert (other["seed"].tolist(), other["width"].tolist()) == (["8"], ["80"])
    assert f"{path}: drawn again, with another seed" in capsys.readouterr().out


def test_what_a_picture_was_made_with_and_is_missing_is_named(tiny_models):
    Image.effect_noise((40, 60), 60).convert("RGB").save("start.png")
    table = draw(BEAR, "init_image=start.png")
    again = [*TINY, f"exp.from_image=outputs/pictures/{table['path'][0]}"]
    digest = table["adapters"][0][:12]
    with pytest.raises(
        ConfigError, match=rf"the adapter 'step-000100' \(SHA-256 {digest}\.\.\.\), which is not in other"
    ):
        draw("init_image=start.png", "inferencer.ckpt_dir=other", small=again)
    with pytest.raises(ConfigError, match="which is not in nowhere: name its folder by inferencer"):
        draw("init_image=start.png", "inferencer.ckpt_dir=nowhere", small=again)
    with pytest.raises(ConfigError, match=r"began with a picture .* is not here: name it by init_image"):
        draw(small=again)
    Image.new("RGB", (8, 8)).save("start.png")
    with pytest.raises(ConfigError, match=r"began with a picture .* which init_image is not"):
        draw("init_image=start.png", small=again)
    Image.effect_noise((8, 8), 60)
    plain = draw(BEAR, "exp.run_dir=plain")
    with pytest.raises(ConfigError, match=rf"base model 'tiny' \(SHA-256 {plain['model_sha256'][0][:12]}.*is another"):
        draw(f"exp.from_image=plain/pictures/{plain['path'][0]}", f"model.id={tiny_models}/sd2", small=TINY)


def test_the_text_is_what_the_web_ui_reads_and_off_with_one_key():
    more = "inferencer.adapters=[{path: other, weight: 0.5}]"
    words = ("validation_args.negative_prompt=blurry, dark", "sampler=ddim", more, "inferencer.weight=0.25")
    table = draw(BEAR, *words)
    path = Path(f"outputs/pictures/{table['path'][0]}")
    with Image.open(path) as image:
        assert sorted(image.info) == ["heldout", "parameters"]
        prompt, negative, line = image.info["parameters"].split("\n")
    assert (prompt, negative) == ("a photo of a sksToy bear", "Negative prompt: blurry, dark")
    # modules/infotext_utils.py of the web UI
    pattern = r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)'
    assert dict(re.findall(pattern, line)) == {
        "Steps": "2",
        "Sampler": "DDIM",
        "CFG scale": "7.5",
        "Seed": "1",
        "Size": "64x64",
        "Model hash": table["model_sha256"][0][:10],
        "Model": "tiny",
        "Lora weights": '"step-000100: 0.25, other: 0.5"',
    }
    assert read_picture(path).adapters[1]["weight"] == 0.5
    off = draw(BEAR, *words, "inferencer.png_text=false", "exp.run_dir=off")
    with Image.open(f"off/pictures/{off['path'][0]}") as image:
        assert not image.info
    assert np.array_equal(pixels(table)[0], pixels(off, "off")[0])


def test_nothing_in_a_picture_is_a_path_of_this_machine():
    table = draw(BEAR, f"inferencer.ckpt_dir={Path.cwd()}/models/adapter", f"model.id={Path.cwd()}/models/tiny/sd")
    data = Path(f"outputs/pictures/{table['path'][0]}").read_bytes()
    assert str(Path.cwd()).encode() not in data


def test_a_contact_sheet_shows_every_picture(capsys):
    draw("prompt=[a sksToy bear, медведь на Луне]", "seeds=[1,2,3]", "inferencer.contact_sheet=true", small=SMALL[:-1])
    [sheet] = Path("outputs/pictures/sheets").iterdir()
    assert str(sheet) in capsys.readouterr().out
    with Image.open(sheet) as drawn:
        shown = np.asarray(drawn.convert("RGB"))
    table = pd.read_csv("outputs/pictures/manifest.csv")
    for picture in pixels(table):
        windows = np.lib.stride_tricks.sliding_window_view(shown, picture.shape)[..., 0, :, :, :]
        corner = np.argwhere((windows[:, :, 0, 0] == picture[0, 0]).all(axis=-1))
        assert any(np.array_equal(windows[row, column], picture) for row, column in corner)
    draw(BEAR, "inferencer.contact_sheet=true")
    assert len(list(Path("outputs/pictures/sheets").iterdir())) == 2
