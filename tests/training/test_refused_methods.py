"""What a method or a file of one cannot be is refused, in words that name it."""

import json

import pytest
import torch

from src.core.config import load_settings
from src.core.errors import ConfigError, ModelMismatchError
from src.methods.combined import CombinedMethod
from src.methods.formats import find_format
from src.methods.own_weights import OwnWeightsMethod
from src.methods.textual_inversion import TextualInversionMethod
from src.methods.tuner import TunerMethod, read_tuner
from src.models.tensors import load_tensors, save_tensors
from src.stages.training_checks import check_settings
from tests.training.test_every_method import make


def test_vectors_that_a_base_does_not_write_out_are_refused(load_tiny):
    with pytest.raises(ConfigError, match=r"method\.vectors=3: this base model reads one vector a word"):
        make("textual_inversion", "method.vectors=3").attach(load_tiny("sd3"), 0)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda: TunerMethod("vera", {}, ["to_q"]), r"method\.tuner=vera: expected one of boft, deft"),
        (lambda: TunerMethod("loha", {"s": 4}, ["to_q"]), r"method\.options: .*unexpected keyword argument 's'"),
        (
            lambda: TunerMethod("loha", {"r": 4, "alpha": 5000}, ["to_q"]),
            r"method\.options\.alpha: expected a number up",
        ),
        (lambda: TunerMethod("loha", {"rank_pattern": {"to_q": 8}}, ["to_q"]), r"method\.options\.rank_pattern"),
        (lambda: OwnWeightsMethod(None, 0.0), r"method\.lr_share=0"),
        (lambda: OwnWeightsMethod([], 1.0), r"method\.target_modules=\[\]: expected layers"),
        (lambda: TextualInversionMethod("sksToy", 0, "toy", 1e-3), r"method\.vectors=0: expected 1 to 64"),
        (lambda: TextualInversionMethod("sksToy", 1, "toy", -1.0), r"method\.lr=-1"),
    ],
)
def test_what_cannot_work_is_refused_before_a_model_loads(part, message):
    with pytest.raises(ConfigError, match=message):
        part()


def test_layers_that_are_not_there_and_parts_that_train_twice_are_refused(load_tiny):
    with pytest.raises(ConfigError, match="no layers of the base model that this adapter knows"):
        TunerMethod("oft", {"oft_block_size": 8}, ["conv1"]).attach(load_tiny("sd1"), 0)
    with pytest.raises(ConfigError, match="two of them train the unet"):
        CombinedMethod([make("dreambooth"), make("lora")]).attach(load_tiny("sd1"), 0)


@pytest.mark.parametrize("name", ["dreambooth", "custom_diffusion"])
def test_own_weights_are_not_trained_in_half_precision(name):
    settings = load_settings(["model=sdxl", f"method={name}"])
    with pytest.raises(ConfigError, match=r"train\.base_dtype=bf16: .*expected fp32"):
        check_settings(settings, make(name))


def test_a_base_whose_tokenizer_and_vectors_do_not_belong_together_is_refused(load_tiny):
    model = load_tiny("sd1")
    encoder = model.pipeline.text_encoder
    count = len(model.pipeline.tokenizer)
    encoder.resize_token_embeddings(count + 5)
    with pytest.raises(ModelMismatchError, match=f"has {count + 5} vectors and its tokenizer {count} words"):
        make("textual_inversion").attach(model, 0)


def test_known_words_are_refused(load_tiny):
    model = load_tiny("sd1")
    with pytest.raises(ConfigError, match="has this word already"):
        TextualInversionMethod(model.pipeline.tokenizer.eos_token, 1, "toy", 1e-3).attach(model, 0)


@pytest.mark.parametrize("name", ["loha", "dreambooth", "textual_inversion"])
def test_files_of_another_base_or_damaged_ones_are_refused(load_tiny, tmp_path, name):
    model, method = load_tiny("sd1"), make(name)
    method.attach(model, 0)
    method.save(model, tmp_path)
    found = find_format(tmp_path)
    path = tmp_path / found.files[0]
    tensors, header = load_tensors(path)
    wrong = {key: torch.zeros(*tensor.shape[:-1], tensor.shape[-1] + 1) for key, tensor in tensors.items()}
    save_tensors(path, wrong, header)
    with pytest.raises(ModelMismatchError):
        found.check_fit(load_tiny("sd1"), tmp_path)
    save_tensors(path, {"nothing.known": torch.zeros(2, 2), "more": torch.zeros(3, 2)}, {})
    with pytest.raises(ModelMismatchError):
        found.check_fit(load_tiny("sd1"), tmp_path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelMismatchError):
        found.check_file(tmp_path)


def test_settings_of_a_foreign_file_are_data(load_tiny, tmp_path):
    model, method = load_tiny("sd1"), make("loha")
    method.attach(model, 0)
    method.save(model, tmp_path)
    settings = tmp_path / "adapter_config.json"
    text = settings.read_text()
    settings.write_text(text.replace('"peft_type": "LOHA"', '"peft_type": "ADAPTION_PROMPT"'))
    with pytest.raises(ModelMismatchError, match="peft_type is 'adaption_prompt'"):
        find_format(tmp_path).check_file(tmp_path)
    settings.write_text(text.replace('"r": 4', '"r": 4, "layers_pattern": "(.*.*)*x!", "init_weights": "evil"'))
    with find_format(tmp_path).applied(load_tiny("sd1"), tmp_path):
        pass
    for name, value in (("rank_pattern", 1), ("alpha_pattern", {"to_q": 3}), ("alpha", 5000)):
        settings.write_text(json.dumps(json.loads(text) | {name: value}))
        with pytest.raises(ModelMismatchError, match=rf"adapter_config\.json: {name} is .*, which cannot be honoured"):
            find_format(tmp_path).check_file(tmp_path)
    settings.write_text(text + " " * (1 << 16))
    with pytest.raises(ModelMismatchError, match=r"adapter_config\.json: over 64 KiB"):
        find_format(tmp_path).check_file(tmp_path)


def test_a_number_that_peft_leaves_open_is_read_back(load_tiny, tmp_path):
    model, method = load_tiny("sd1"), TunerMethod("deft", {"alpha": 3}, ["to_q"])
    method.attach(model, 0)
    method.save(model, tmp_path)
    assert read_tuner(tmp_path)[1].alpha == 3


def test_settings_that_cannot_be_are_the_files_fault(load_tiny, tmp_path):
    model, method = load_tiny("sd1"), make("loha")
    method.attach(model, 0)
    method.save(model, tmp_path)
    settings = tmp_path / "adapter_config.json"
    settings.write_text(settings.read_text().replace('"r": 4', '"r": -1'))
    with pytest.raises(ModelMismatchError, match=r"adapter_config\.json: "):
        find_format(tmp_path).check_fit(load_tiny("sd1"), tmp_path)


def test_two_methods_in_one_folder_are_no_checkpoint(load_tiny, tmp_path):
    for name in ("lora", "loha"):
        model, method = load_tiny("sd1"), make(name)
        method.attach(model, 0)
        method.save(model, tmp_path)
    with pytest.raises(ModelMismatchError, match=r"holds pytorch_lora_weights\.safetensors and adapter_model"):
        find_format(tmp_path)


def test_vectors_for_several_encoders_name_their_token(load_tiny, tmp_path):
    model, method = load_tiny("sdxl"), make("textual_inversion")
    method.attach(model, 0)
    method.save(model, tmp_path)
    tensors, _ = load_tensors(tmp_path / "learned_embeds.safetensors")
    save_tensors(tmp_path / "learned_embeds.safetensors", tensors, {})
    with pytest.raises(ModelMismatchError, match="holds no vectors of one token"):
        find_format(tmp_path).check_file(tmp_path)
