"""Memory presets: what they set, what was counted for them, and what is refused."""

import pytest

from benchmarks.bench_memory import CARDS
from src.core.config import load_settings
from src.core.errors import ConfigError
from src.stages import training_checks
from src.stages.memory import SHARE, check_generating, check_training
from src.stages.training_checks import check_settings
from tests.training.test_every_method import make

BASES = {"sd15": "sd1", "sd21": "sd2", "sdxl": "sdxl", "sd3": "sd3", "flux_dev": "flux"}
ALL = [(base, card) for base in BASES for card in CARDS]
# GiB counted for these are more than the card's share, so each stage names the presets that do fit
TOO_SMALL = {("sd3", 12)}
TRAINING_ONLY = {("sd3", 12), ("sd3", 16), ("flux_dev", 12), ("flux_dev", 16), ("flux_dev", 24)}


def chosen(base, card, *overrides):
    return load_settings([f"model={base}", f"memory=gb{card}", "subject=toy", *overrides])


@pytest.mark.parametrize(("base", "card"), ALL)
def test_every_preset_composes_and_trains_and_generates_where_its_card_is_large_enough(
    base, card, tiny_models, monkeypatch
):
    monkeypatch.setattr(training_checks, "check_library", lambda _: None)
    small = [
        "tracker=none",
        f"model.id={tiny_models / BASES[base]}",
        "model.revision=null",
        "model.resolution=64",
        "device=cpu",
    ]
    params, plain = chosen(base, card, *small), load_settings([f"model={base}", "subject=toy"])
    preset = params.memory.presets[f"gb{card}"]
    assert (params.train.quantize, params.train.base_dtype) == (preset.quantize, preset.base_dtype)
    # results stay comparable: images per update are the base's own in every preset
    assert params.train.batch_size == plain.train.batch_size
    assert params.train.batch_size % params.train.gradient_accumulation_steps == 0
    # the library promises no same bytes on a GPU
    assert params.train.deterministic == (params.train.quantize == "none")
    method = make("lora")
    if (base, card) in TOO_SMALL:
        with pytest.raises(
            ConfigError, match=rf"^memory=gb{card} of model={base}: training takes .* expected memory=gb"
        ):
            check_settings(params, method)
    else:
        check_settings(params, method)
        assert preset.train_gib <= SHARE * card
    if (base, card) in TRAINING_ONLY:
        with pytest.raises(ConfigError, match=rf"^memory=gb{card} of model={base}: generating .* expected memory=gb"):
            check_generating(params)
    else:
        check_generating(params)
        assert preset.generate_gib <= SHARE * card


def test_without_a_preset_nothing_is_compared_and_nothing_is_set():
    for base in (*BASES, "tabletop"):
        params = load_settings([f"model={base}", "subject=toy"])
        assert params.memory.card_gb is None
        assert params.train.quantize == "none"
        assert params.train.deterministic
        check_training(params, make("dreambooth"))
        check_generating(params)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["train.quantize=none"],
            r"^memory=gb12 of model=flux_dev is counted with train\.quantize=nf4, not none: expected memory=gb80",
        ),
        (
            ["train.gradient_checkpointing=false"],
            r"train\.gradient_checkpointing=True, not False: expected memory=none$",
        ),
        (["train.batch_size=8"], r"is counted with train\.batch_size=4, not 8: expected memory=none$"),
    ],
)
def test_a_preset_is_not_stretched(overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_training(chosen("flux_dev", 12, *overrides), make("lora"))


def test_a_preset_is_for_adapters():
    with pytest.raises(ConfigError, match=r"^memory=gb80 of model=sdxl is counted for adapters, this method trains"):
        check_training(chosen("sdxl", 80), make("dreambooth"))


def test_a_base_without_presets_says_which_is_missing():
    for words in (["memory=gb24"], ["model=tabletop", "memory=gb24"], ["memory.card_gb=24"]):
        with pytest.raises(ConfigError, match=r"^memory\.card_gb=24: model=tabletop has no memory presets$"):
            load_settings(words)


def test_a_card_without_a_preset_names_those_that_there_are():
    message = (
        r"^memory\.card_gb=13: model=sd15 has no such memory preset: "
        "expected one of memory=gb12, memory=gb16, memory=gb24, memory=gb80, memory=none$"
    )
    with pytest.raises(ConfigError, match=message):
        load_settings(["model=sd15", "subject=toy", "memory.card_gb=13"])
