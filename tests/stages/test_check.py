from pathlib import Path

import pytest

from src.core.config import load_settings, load_stage_params
from src.core.errors import CaptionError, ConfigError, MissingModelError, ModelMismatchError
from src.core.files import write_text
from src.core.weights import write_sums
from src.data.captioning import load_tokenizers
from src.stages.check import check_ahead, check_embedded, check_settings, texts_to_encode
from src.stages.evaluate import build_metrics
from tests.tiny.diffusion import build_diffusion
from tests.tiny.metric_models import build_metric_models
from tests.tiny.words import WORDS


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    build_metric_models(folder / "models/tiny/metric_models", seed=0)
    build_diffusion(folder / "models/tiny/sd", "sd1", list(WORDS), 0)
    return folder


@pytest.fixture
def tokenizers(models, monkeypatch):
    monkeypatch.chdir(models)
    return load_tokenizers(models / "models/tiny/sd")


def test_texts_are_those_of_adapter_base_and_subject_only_prompts():
    texts = texts_to_encode(load_settings(["prompts=tabletop", "validation_args.negative_prompt=blurry"]))
    assert texts["prompts.test.grass"] == "a photo of a sksToy bear on grass"
    assert texts["prompts.test.grass for the base model"] == "a photo of a bear on grass"
    assert {"a photo of a sksToy bear", "a photo of a bear", "blurry"} <= set(texts.values())


def test_what_fits_passes(tokenizers):
    config = load_settings(["model=tiny"])
    check_ahead(texts_to_encode(config), tokenizers, build_metrics(config))


def test_a_prompt_that_is_too_long_is_named_before_the_training(tokenizers):
    wanted = r"prompts\.dev\.long: \d+ tokens of tokenizer, at most 77 fit(.|\n)*shorter ones: (.*)config set prompts="
    with pytest.raises(CaptionError, match=wanted):
        check_ahead({"prompts.dev.long": "bear " * 90}, tokenizers, [])


def test_a_metric_model_that_is_missing_is_named_before_the_training(tokenizers):
    config = load_settings(["model=tiny", "metric_models.clip.id=nowhere"])
    with pytest.raises(MissingModelError, match="nowhere"):
        check_ahead({}, tokenizers, build_metrics(config))


def test_an_unknown_metric_is_named_before_the_training():
    with pytest.raises(ConfigError, match="beauty"):
        build_metrics(load_stage_params("check", ["inference_metrics=[beauty]"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluate.margins.dino=-1", r"evaluate\.margins\.dino: expected a number above 0, found -1"),
        ("report.language=xx", "xx"),
        (
            "validation_args.num_subject_only_images=-1",
            "num_subject_only_images=-1: expected 0 or more",
        ),
        (
            "validation_args.num_subject_only_images=0",
            "num_subject_only_images=0: pres of inference_metrics needs 1 or more",
        ),
        ("inference_metrics=[unrelated]", "num_unrelated_images=0: unrelated of inference_metrics needs 1 or more"),
    ],
)
def test_what_evaluate_and_report_would_refuse_is_refused_before_the_training(override, message):
    params = load_stage_params("check", ["model=tiny", override])
    with pytest.raises(ConfigError, match=message):
        check_settings(params, build_metrics(params))


def test_embedded_models_that_were_changed_stop_the_run_with_the_way_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("models/tabletop/sd/unet/weights", "models/tabletop/blip/weights"):
        write_text(Path(name), name)
    write_sums(Path("models/tabletop"), Path("tabletop/models.sha256"))
    write_text(Path("models/tabletop/sd/unet/weights"), "flipped")
    with pytest.raises(ModelMismatchError, match=r"names: models/tabletop/sd/unet/weights; `git checkout HEAD -- mod"):
        check_embedded(load_stage_params("check", []))
    check_embedded(load_stage_params("check", ["model=tiny"]))
