"""inference.py with a person's own prompts, on a tiny base with two adapters."""

import numpy as np
import pytest
import torch
from PIL import Image

from src.core.errors import ConfigError, ModelMismatchError
from src.core.seeding import derive_seed
from src.models.families import load_base_model
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import single_prompt
from src.stages.inference import load_own_prompts
from src.stages.request import read_request
from tests.stages.own_prompts import BEAR, SMALL, TINY, draw, pixels

pytestmark = pytest.mark.usefixtures("own_prompts")


def drawn_by_hand(text, seed, **settings):
    """The base model's image, without any of what inference.py adds."""
    model = load_base_model("models/tiny/sd", None, None, "fp32", torch.device("cpu"))
    options = {"algorithm_type": "dpmsolver++"}
    how = SamplingSettings(64, 1, 2, 7.5, "", 2, 0, "DPMSolverMultistepScheduler", options, "fp32", **settings)
    [(_, image)] = sample(model, how, [Job(single_prompt(text, "sksToy", "bear"), text, 0, seed)])
    return np.asarray(image).astype(int)


def test_several_prompts_by_several_seeds_in_their_order():
    table = draw("prompt=[a sksToy bear in the snow, 'a bear, on a rug']", "seeds=[5,3]", small=SMALL[:-1])
    assert table["prompt"].tolist() == ["a sksToy bear in the snow"] * 2 + ["a bear, on a rug"] * 2
    assert table["seed"].tolist() == table["noise_seed"].tolist() == ["5", "3"] * 2
    assert len({array.tobytes() for array in pixels(table)}) == 4
    filed = draw("prompt_file=p.txt", "exp.run_dir=file")
    assert filed["prompt"].tolist() == ["a sksToy bear in the snow", "a sksToy bear on a rug"]


def test_a_seed_is_that_of_torch_and_the_same_noise_for_every_prompt():
    table = draw("prompt=a photo of a bear", "seeds=9", "inferencer.weight=0", small=SMALL[:-1])
    assert table["variant"].tolist() == ["base"]
    assert np.array_equal(pixels(table)[0], drawn_by_hand("a photo of a bear", 9))


def test_without_seeds_the_noise_is_that_of_the_pipeline_and_its_seed_is_told():
    table = draw(BEAR, "validation_args.num_images_per_prompt=2", "validation_args.seed=4", small=SMALL[:-1])
    told = [derive_seed(4, "sample", "a-photo-of-a-skstoy-bear", number) for number in (0, 1)]
    assert table["noise_seed"].tolist() == [str(seed) for seed in told]
    again = draw(BEAR, f"seeds=[{told[0]},{told[1]}]", "exp.run_dir=again", small=SMALL[:-1])
    assert all(map(np.array_equal, pixels(table), pixels(again, "again")))


def test_weight_0_is_the_base_and_0_5_lies_between_it_and_the_adapter():
    weights = ("0", "0.5", "1", "1.0")
    tables = {weight: draw(BEAR, f"inferencer.weight={weight}", f"exp.run_dir=w{weight}") for weight in weights}
    found = {weight: pixels(table, f"w{weight}")[0] for weight, table in tables.items()}
    assert np.array_equal(found["0"], drawn_by_hand("a photo of a sksToy bear", 1))
    assert np.array_equal(found["1"], pixels(draw(BEAR, "exp.run_dir=plain"), "plain")[0])
    assert len({array.tobytes() for array in found.values()}) == 3
    # 1 and 1.0 are one name, 0.5 another
    assert tables["1"]["path"].tolist() == tables["1.0"]["path"].tolist() != tables["0.5"]["path"].tolist()


def test_several_adapters_and_whether_they_are_fused():
    more = "inferencer.adapters=[{path: other, weight: 0.5}]"
    table = draw(BEAR, more)
    assert table["variant"].tolist() == ["step-000100+other"]
    assert [one.split("*")[1] for one in table["adapters"][0].split()] == ["1", "0.5"]
    beside = draw(BEAR, more, "inferencer.fuse=false", "exp.run_dir=beside")
    assert np.abs(pixels(table)[0] - pixels(beside, "beside")[0]).max() <= 1
    assert table["path"][0] != beside["path"][0]
    alone = draw(BEAR, "inferencer.weight=0", more, "exp.run_dir=alone")
    assert alone["variant"].tolist() == ["other"]
    assert not np.array_equal(pixels(table)[0], pixels(alone, "alone")[0])


def test_width_and_height_apart_and_multiples_only(capsys):
    table = draw(BEAR, "width=96", "height=80")
    assert pixels(table)[0].shape == (80, 96, 3)
    assert (table["width"][0], table["height"][0]) == ("96", "80")
    for key in ("width", "height"):
        with pytest.raises(ConfigError, match=rf"^{key}=65: expected a multiple of 16, for example 64 or 80"):
            draw(BEAR, f"{key}=65")
    # the model's own size is no setting: the name stays
    assert draw(BEAR, "width=64", "exp.run_dir=a")["path"].tolist() == draw(BEAR, "exp.run_dir=b")["path"].tolist()


def test_a_picture_to_begin_with_and_its_strength():
    noise = Image.effect_noise((40, 60), 60).convert("RGB")
    noise.save("start.png")
    found = {
        (strength, number): draw(
            BEAR, "init_image=start.png", f"strength={strength}", "sampler=ddim", f"exp.run_dir=s{strength}{number}"
        )
        for strength, number in ((0.5, 0), (0.5, 1), (1.0, 0))
    }
    images = {key: pixels(table, "s{}{}".format(*key))[0] for key, table in found.items()}
    assert np.array_equal(images[0.5, 0], images[0.5, 1])
    assert found[0.5, 0]["path"].tolist() == found[0.5, 1]["path"].tolist() != found[1.0, 0]["path"].tolist()
    noise.rotate(90).save("start.png")
    other = draw(BEAR, "init_image=start.png", "strength=0.5", "sampler=ddim", "exp.run_dir=third")
    assert other["path"].tolist() != found[0.5, 0]["path"].tolist()
    assert not np.array_equal(pixels(other, "third")[0], images[0.5, 0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prompt=''"], "prompt='': expected what is to be generated"),
        (["prompt=[]"], "0 prompts"),
        (["prompt=a", "prompt_file=p.txt"], "prompt and prompt_file: expected one of them"),
        (["prompt_file=nowhere.txt"], "prompt_file: no such file: nowhere.txt"),
        (["prompt=a", "seeds=-1"], "seeds=-1: expected whole numbers from 0"),
        (["prompt=a", "seeds=[1,x]"], "expected whole numbers"),
        (["prompt=a", "seeds=[]"], "expected at least one"),
        (["prompt=a", f"seeds={'1' * 5000}"], f"seeds={'1' * 40}: expected whole numbers from 0"),
        (["prompt=a", f"seeds=[{'1' * 5000}]"], "a number has too many digits"),
        (["prompt=a", "inferencer.weight=0", "inferencer.fuse=true"], "inferencer.fuse: could not act: every adapter"),
        (["prompt=a", "seeds=9223372036854775808"], "expected whole numbers from 0"),
        (["prompt=a", "strength=0.5"], "strength: could not act: there is no init_image"),
        (["prompt=a", "seeds=1", "validation_args.seed=1"], "validation_args.seed: could not act: seeds say"),
        (["prompt=a", "seeds=1", "validation_args.num_images_per_prompt=2"], "num_images_per_prompt: could not act"),
        (
            ["prompt=a", "validation_args.guidance_scale=1", "validation_args.negative_prompt=b"],
            "negative_prompt: could not act: a guidance_scale of 1 leads away from nothing",
        ),
        (["prompt=a", "init_image=nowhere.png"], "init_image: no such file: nowhere.png"),
        (["prompt=a", "init_image=p.txt"], "init_image=p.txt: "),
        (["prompt=a", "init_image=p.txt", "strength=0"], "strength=0.0: expected a number above 0, at most 1"),
        (["prompt=a", "inferencer.adapters=[{path: other}]"], "missing keys: inferencer.adapters[0].weight"),
        (["prompt=a", "inferencer.adapters=[{path: other, wait: 1}]"], "wait"),
        (["prompt=a", "rank=2"], "rank: nothing that inference reads"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line_before_any_model_loads(monkeypatch, words, message):
    monkeypatch.setattr("src.stages.drawing.load_base_model", None)
    with pytest.raises(ConfigError) as caught:
        read_request(load_own_prompts("inference", [*TINY, *words]))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_strength_of_which_no_step_is_left_and_a_folder_without_adapter_are_refused():
    Image.new("RGB", (8, 8)).save("start.png")
    with pytest.raises(ConfigError, match=r"strength=0\.4: none of 2 steps is left"):
        draw(BEAR, "init_image=start.png", "strength=0.4")
    with pytest.raises(ModelMismatchError, match="nowhere: expected an adapter's"):
        draw(BEAR, "inferencer.adapters=[{path: nowhere, weight: 1}]")
