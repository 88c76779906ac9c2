"""Every method on every base: trains, goes on after a kill, saves, and its file gives the images of the training."""

from functools import cache

import pytest
import torch
from diffusers import DiffusionPipeline
from peft import PeftModel
from safetensors.torch import load_file

from src.commands.export_lora import export
from src.core.building import build
from src.core.config import load_settings
from src.core.errors import CaptionError, ConfigError
from src.methods.formats import find_format
from src.methods.tuner import TUNERS, TunerMethod
from src.models.base import denoiser
from src.models.tensors import load_tensors, save_tensors
from src.sampling.variants import Variant
from src.training.loop import train
from src.training.validation import validate
from tests.methods.test_lora import picture, predict

METHODS = (
    "lora",
    "dora",
    "rslora",
    "pissa",
    "t_lora",
    "loha",
    "lokr",
    "oft",
    "boft",
    "hra",
    "dreambooth",
    "textual_inversion",
    "pivotal",
    "custom_diffusion",
)
BASES = ("sd1", "sd2", "sdxl", "sd3", "flux")
# an attention of joint streams has no keys and values of its own for the text
NO_SUCH = {("custom_diffusion", "sd3"), ("custom_diffusion", "flux")}
# what is interrupted after its first update and gone on with by its second
SHORT = {"steps": 2, "save_every": 1, "checkpoint_every": 2, "val_every": 2, "val_timesteps": [0.5], "lr": 2e-2}


def make(name, *overrides):
    return build(settings(name, *overrides), "method")


@cache
def settings(name, *overrides):
    return load_settings(["model=tiny", f"method={name}", "rank=4", *overrides]).method


def read_by_peft(plain, folder):
    plain.pipeline.unet = PeftModel.from_pretrained(plain.pipeline.unet, folder)


def read_by_diffusers(plain, folder):
    plain.pipeline.unet = type(plain.pipeline.unet).from_pretrained(folder).eval()


def read_as_weights_and_tokens(plain, folder):
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    assert not plain.pipeline.unet.load_state_dict(weights, strict=False).unexpected_keys
    plain.pipeline.load_textual_inversion(str(folder / "learned_embeds.safetensors"))


# tools of others that read a file, and have to compute the same
OTHERS = {"loha": read_by_peft, "dreambooth": read_by_diffusers, "custom_diffusion": read_as_weights_and_tokens}


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_trains_resumes_and_its_file_gives_the_same_images(make_run, load_tiny, tmp_path, name, kind):
    if (name, kind) in NO_SUCH:
        with pytest.raises(ConfigError, match="the base model has no such layers"):
            make(name).attach(load_tiny(kind), 0)
        return
    options = {"kind": kind, "text": make(name).trains_text, **SHORT}
    run = make_run(method=make(name), state="whole", **options)
    before = validate(run)["val_loss"]
    whole = train(run)
    train(make_run(method=make(name), state="parts", **{**options, "steps": 1}))
    resumed = train(make_run(method=make(name), state="parts", **options))
    assert whole.tensors.keys() == resumed.tensors.keys()
    assert all(torch.equal(tensor, resumed.tensors[key]) for key, tensor in whole.tensors.items())
    assert whole.validations[-1]["val_loss"] != before
    folder = tmp_path / "whole/checkpoints/step-000002"
    other = tmp_path / "parts/checkpoints/step-000002"
    found = find_format(folder)
    assert all((folder / file).read_bytes() == (other / file).read_bytes() for file in found.files)
    trained, fresh = predict(run.module.eval()._model), load_tiny(kind)
    untouched = predict(fresh)
    with found.applied(fresh, folder):
        torch.testing.assert_close(predict(fresh), trained, rtol=0, atol=1e-4)
        assert (predict(fresh) - untouched).abs().max() > 1e-3
    torch.testing.assert_close(predict(fresh), untouched, rtol=0, atol=0)
    if kind == "sd1" and name in OTHERS:
        plain = load_tiny(kind)
        OTHERS[name](plain, folder)
        torch.testing.assert_close(predict(plain), trained, rtol=0, atol=1e-4)
    # another training begins with it
    again = make(name)
    again.attach(fresh, 1)
    again.start(fresh, folder)
    torch.testing.assert_close(predict(fresh), trained, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", BASES)
def test_an_adapter_gives_the_image_of_the_training_in_a_plain_pipeline(make_run, tiny_models, tmp_path, kind):
    run = make_run(kind=kind, text=True, **SHORT)
    train(run)
    plain, images = DiffusionPipeline.from_pretrained(tiny_models / kind), []
    plain.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 3, "height": 64, "width": 64, "output_type": "pt"}
    for pipeline in (plain, plain, run.module.eval()._model.pipeline):
        if images:
            plain.load_lora_weights(tmp_path / "state/checkpoints/step-000002")
        images.append(pipeline("a sksToy toy", generator=torch.Generator().manual_seed(0), **options).images)
    assert (images[0] - images[1]).abs().max() > 1e-2
    torch.testing.assert_close(images[1], images[2], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["loha", "lokr", "boft", "hra"])
def test_tuners_adapt_convolutions_and_leave_them_as_they_were(load_tiny, tmp_path, name):
    model, method = load_tiny("sd1"), make(name, "model.target_modules=[to_q,conv1]")
    untouched = predict(model)
    for group in method.attach(model, 0):
        torch.testing.assert_close(predict(model), untouched, rtol=0, atol=1e-5)
        for parameter in group.parameters.values():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    method.save(model, tmp_path)
    fresh, changed = load_tiny("sd1"), predict(model)
    before = {key: value.clone() for key, value in denoiser(fresh).state_dict().items()}
    with find_format(tmp_path).applied(fresh, tmp_path):
        torch.testing.assert_close(predict(fresh), changed, rtol=0, atol=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in denoiser(fresh).state_dict().items())


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_each_vector_of_a_token_learns(load_tiny, kind):
    model = load_tiny(kind)
    (group,) = make("textual_inversion", "method.vectors=3").attach(model, 0)
    conditioning = model.encode_text(["a photo of sksToy toy"])
    conditioning.embeds.square().sum().backward()
    for rows in group.parameters.values():
        assert (rows.grad.abs().sum(1) > 0).all()


def test_texts_are_counted_as_they_are_written_out(load_tiny):
    model = load_tiny("sd1")
    text = ["a photo of sksToy toy on a table"]
    model.check_captions(text)
    make("textual_inversion", "method.vectors=64").attach(model, 0)
    with pytest.raises(CaptionError, match=r"tokens for the tokenizer, which takes"):
        model.check_captions([f"{text[0]} {'on a table ' * 4}"])


def test_a_token_is_a_word_of_its_own(load_tiny):
    model, untouched = load_tiny("sd1"), load_tiny("sd1")
    make("textual_inversion", "method.token=sks").attach(model, 0)
    for text, same in ((["masks on desks"], True), (["a sks, toy"], False)):
        ids = [each.pipeline.tokenizer(text)["input_ids"] for each in (model, untouched)]
        assert (ids[0] == ids[1]) == same


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("name", ["textual_inversion", "pivotal", "loha", "t_lora"])
def test_a_base_in_half_precision_generates(load_tiny, tmp_path, name, kind):
    model, method = load_tiny(kind), make(name)
    for group in method.attach(model, 0):
        for parameter in group.parameters.values():
            parameter.data += 0.1
    method.save(model, tmp_path)
    half = load_tiny(kind, "bf16")
    untouched = picture(half)
    with find_format(tmp_path).applied(half, tmp_path):
        assert not torch.equal(picture(half), untouched)
    assert torch.equal(picture(half), untouched)


@pytest.mark.parametrize("name", TUNERS)
def test_every_tuner_comes_back_and_leaves_the_base_as_it_was(load_tiny, tmp_path, name):
    sizes = {"boft": {"boft_block_size": 8}, "oft": {"oft_block_size": 8}}.get(name, {"r": 4})
    model, method = load_tiny("sd1"), TunerMethod(name, sizes, ["to_q", "to_out.0"])
    for group in method.attach(model, 0):
        for parameter in group.parameters.values():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    method.save(model, tmp_path)
    changed, fresh = predict(model), load_tiny("sd1")
    before = {key: (value.clone(), value.stride()) for key, value in denoiser(fresh).state_dict().items()}
    with find_format(tmp_path).applied(fresh, tmp_path):
        torch.testing.assert_close(predict(fresh), changed, rtol=0, atol=1e-4)
    after = denoiser(fresh).state_dict()
    assert all(torch.equal(after[key], value) and after[key].stride() == s for key, (value, s) in before.items())


def test_a_token_of_several_vectors_is_written_out_as_diffusers_does(load_tiny, tmp_path):
    model, method = load_tiny("sd1"), make("textual_inversion", "method.vectors=3", "method.token=skstoy")
    (group,) = method.attach(model, 0)
    (rows,) = group.parameters.values()
    assert rows.shape[0] == 3
    rows.data += torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    method.save(model, tmp_path)
    text = ["a photo of skstoy toy"]
    model.encode_text(text).embeds.square().sum().backward()
    assert (rows.grad.abs().sum(1) > 0).all()
    plain = load_tiny("sd1")
    plain.pipeline.load_textual_inversion(str(tmp_path / "learned_embeds.safetensors"))
    torch.testing.assert_close(plain.encode_text(text).embeds, model.encode_text(text).embeds, rtol=0, atol=1e-6)
    with method.only_part(model, "unet"):
        begun = model.encode_text(text).embeds
    assert (begun - model.encode_text(text).embeds).abs().max() > 1e-2


def test_export_says_that_vectors_lie_beside(load_tiny, tiny_models, tmp_path, capsys):
    for name, expected in (("pivotal", 1), ("lora", 0)):
        folder, model, method = tmp_path / name, load_tiny("sd1"), make(name)
        method.attach(model, 0)
        method.save(model, folder)
        export(folder, tmp_path / f"{name}.safetensors", words=[f"model.id={tiny_models / 'sd1'}"])
        assert capsys.readouterr().out.count("learned_embeds.safetensors beside it, as an embedding") == expected


def test_all_files_of_a_checkpoint_name_its_images(load_tiny, tmp_path):
    folder, model, method = tmp_path / "step-000003", load_tiny("sd1"), make("pivotal")
    method.attach(model, 0)
    method.save(model, folder)
    before = Variant("step-000003", folder).digest
    tensors, header = load_tensors(folder / "learned_embeds.safetensors")
    save_tensors(folder / "learned_embeds.safetensors", {k: v + 1 for k, v in tensors.items()}, header)
    assert Variant("step-000003", folder).digest != before
