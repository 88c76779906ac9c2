"""Factors that begin as something else than nothing: PiSSA, and T-LoRA's ranks."""

import json
import math

import pytest
import torch
from diffusers import DiffusionPipeline
from peft import LoraConfig
from peft.tuners.lora import Linear

from src.commands.export_lora import export
from src.core.errors import ConfigError, ModelMismatchError
from src.methods import begun
from src.methods.formats import find_format
from src.methods.lora import LoraMethod
from src.methods.pissa import PissaMethod
from src.methods.t_lora import WEIGHTS, Ranks, TLoraMethod
from src.models.base import denoiser
from src.models.tensors import load_tensors, save_tensors
from tests.methods.test_lora import UNET, predict, trained

WIDE = [*UNET, "conv1"]


def moved(model, method, seed=0):
    """Attaches a method and changes what trains."""
    random = torch.Generator().manual_seed(seed)
    for group in method.attach(model, 0):
        for parameter in group.parameters.values():
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=random)
    return model


def t_lora(orthogonal=True, rank=4, min_share=0.5, power=1.0, alpha=None, targets=UNET):
    return TLoraMethod(rank, min_share, power, rank if alpha is None else alpha, orthogonal, targets)


@pytest.mark.parametrize("alpha", [4.0, 2.0])
def test_pissa_begins_as_pefts_own_and_leaves_the_base_as_it_was(load_tiny, alpha):
    model = load_tiny("sd1")
    before, untouched = predict(model), {name: value.clone() for name, value in denoiser(model).state_dict().items()}
    PissaMethod(4, alpha, WIDE).attach(model, 0)
    torch.testing.assert_close(predict(model), before, rtol=0, atol=1e-5)
    for name, layer in begun.layers(denoiser(model)).items():
        weight = layer.get_base_layer().weight
        assert torch.equal(weight, untouched[f"{name}.weight"])
        plain = torch.nn.Linear(weight[0].numel(), weight.shape[0], bias=False)
        plain.weight.data = weight.detach().flatten(1).clone()
        reference = Linear(plain, "a", config=LoraConfig(init_lora_weights="pissa"), r=4, lora_alpha=alpha)
        a, b = (factor["default"].weight.detach().flatten(1) for factor in (layer.lora_A, layer.lora_B))
        began = [a[:4], b[:, :4], a[4:], b[:, 4:]]
        expected = (reference.lora_B["a"].weight @ reference.lora_A["a"].weight).detach()
        torch.testing.assert_close(began[1] @ began[0], expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(began[3] @ began[2], -expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(layer.scaling["default"], alpha / 4)


@pytest.mark.parametrize("kind", ["sd1", "sd3"])
def test_a_plain_pipeline_reads_pissa_over_the_untouched_base(load_tiny, tiny_models, tmp_path, kind):
    model = moved(load_tiny(kind), PissaMethod(4, 2.0, UNET))
    PissaMethod(4, 2.0, UNET).save(model, tmp_path)
    fresh, pipeline = load_tiny(kind), DiffusionPipeline.from_pretrained(tiny_models / kind)
    pipeline.load_lora_weights(tmp_path)
    network = getattr(pipeline, model.denoiser_name)
    assert (network.peft_config["default_0"].r, network.peft_config["default_0"].lora_alpha) == (8, 4)
    setattr(fresh.pipeline, model.denoiser_name, network.eval())
    torch.testing.assert_close(predict(fresh), predict(model), rtol=0, atol=1e-5)


def test_pissa_does_not_begin_with_another_lora(load_tiny, tmp_path):
    other = LoraMethod(8, 8.0, 0.0, UNET, False, False, False, 0.0, [])
    other.save(moved(load_tiny("sd1"), other), tmp_path)
    model, method = load_tiny("sd1"), PissaMethod(4, 4.0, UNET)
    method.attach(model, 0)
    with pytest.raises(ModelMismatchError, match="a LoRA that did not begin as PiSSA"):
        method.start(model, tmp_path)


@pytest.mark.parametrize("method", [PissaMethod(64, 64.0, UNET), t_lora(rank=64)], ids=["pissa", "t_lora"])
def test_a_rank_that_a_weight_does_not_have_is_refused(load_tiny, method):
    with pytest.raises(ConfigError, match=r"rank=64: .*to_[qkv] of the base model has 32; expected no more"):
        method.attach(load_tiny("sd1"), 0)


@pytest.mark.parametrize(("rank", "min_rank", "power"), [(16, 8, 1.0), (64, 32, 1.0), (5, 1, 2.0), (4, 4, 1.0)])
def test_ranks_agree_with_the_formula_of_the_paper(rank, min_rank, power):
    ranks, steps = Ranks(rank, min_rank, power), [0, 1, 250, 499, 500, 501, 999, 1000]
    mask = ranks.mask(torch.tensor(steps), 1000)
    for row, step in zip(mask, steps, strict=True):
        working = math.floor(((1000 - step) / 1000) ** power * (rank - min_rank)) + min_rank
        assert row.tolist() == [1.0] * working + [0.0] * (rank - working)
    assert torch.equal(ranks.mask(torch.tensor(500), 1000), mask[4:5])
    assert torch.equal(ranks.mask(torch.tensor([0.25]), 1.0), mask[2:3])


@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("kind", ["sd1", "sd3", "flux"])
def test_each_sample_has_the_ranks_of_its_own_timestep(load_tiny, kind, orthogonal):
    """A forward pass equals, sample by sample, that of a LoRA whose other ranks are zero."""
    method = t_lora(orthogonal, min_share=0.25, targets=WIDE if kind == "sd1" else UNET)
    model = moved(load_tiny(kind), method)
    masked, layers = predict(model), begun.layers(denoiser(model))
    for row, fraction in enumerate((0.005, 0.7)):
        told = model.process.time_at(fraction) * {"sd1": 1, "sd3": 1000, "flux": 1}[kind]
        working = method.ranks.mask(torch.tensor(told), {"sd1": 1000, "sd3": 1000, "flux": 1}[kind])[0]
        assert working.sum() == 3 if fraction < 0.1 else working.sum() < 3
        deltas = {}
        for name, layer in layers.items():
            a, b = (factor["default"].weight.detach() for factor in (layer.lora_A, layer.lora_B))
            rows = working.repeat(len(a) // 4)
            delta = (b.flatten(1) * rows) @ a.flatten(1)
            deltas[name] = delta.view_as(layer.get_base_layer().weight) * layer.scaling["default"]
        plain = load_tiny(kind)
        for name, delta in deltas.items():
            denoiser(plain).get_submodule(name).weight.data += delta
        torch.testing.assert_close(predict(plain)[row], masked[row], rtol=0, atol=1e-4)


def test_t_lora_hears_the_timestep_of_a_pipeline_with_guidance(load_tiny, tmp_path):
    """In diffusers' own loop: both halves of classifier-free guidance, one timestep for all."""
    method = t_lora(min_share=0.25)
    model = moved(load_tiny("sd1"), method)
    method.save(model, tmp_path)
    fresh, heard = load_tiny("sd1"), []

    def images(which):
        options = {"num_inference_steps": 4, "guidance_scale": 5.0, "output_type": "latent", "height": 64, "width": 64}
        return which.pipeline(["a toy"] * 3, generator=torch.Generator().manual_seed(0), **options).images

    with find_format(tmp_path).applied(fresh, tmp_path):
        factor = next(iter(begun.layers(denoiser(fresh)).values())).lora_A["default"]
        factor.register_forward_hook(lambda _, __, inner: heard.append(((inner != 0).any(1).sum(1) / 2).tolist()))
        torch.testing.assert_close(images(fresh), images(model), rtol=0, atol=1e-4)
    # of the timesteps 751, 501, 251 and 1
    assert heard == [[1.0] * 6, [2.0] * 6, [3.0] * 6, [3.0] * 6]
    assert not denoiser(fresh)._forward_pre_hooks


def test_recomputed_activations_have_the_same_ranks(load_tiny):
    gradients = []
    for recompute in (False, True):
        model = load_tiny("sd1")
        groups = t_lora(min_share=0.25).attach(model, 0)
        if recompute:
            denoiser(model).enable_gradient_checkpointing()
        denoiser(model).train()
        text = model.encode_text(["a toy", "a toy"])
        time, size = torch.tensor([10, 900]), torch.full((2, 2), 64.0)
        model.predict(torch.ones(2, 4, 8, 8), time, text, size).square().sum().backward()
        gradients.append({name: p.grad for name, p in groups[0].parameters.items()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


def test_other_tools_refuse_t_lora_and_its_tensors_alone_have_all_ranks_everywhere(load_tiny, tiny_models, tmp_path):
    method = t_lora(min_share=0.25)
    model = moved(load_tiny("sd1"), method)
    method.save(model, tmp_path)
    pipeline = DiffusionPipeline.from_pretrained(tiny_models / "sd1")
    with pytest.raises(TypeError, match="could not be instantiated") as refused:
        pipeline.load_lora_weights(tmp_path)
    assert "unexpected keyword argument 't_lora_min_rank'" in str(refused.value.__cause__)
    pipeline = DiffusionPipeline.from_pretrained(tiny_models / "sd1")
    pipeline.load_lora_weights(load_tensors(tmp_path / WEIGHTS)[0])
    fresh = load_tiny("sd1")
    fresh.pipeline.unet = pipeline.unet.eval()
    ranks = Ranks(4, 4, 1.0)
    (tmp_path / "full").mkdir()
    tensors, header = load_tensors(tmp_path / WEIGHTS)
    header["lora_adapter_metadata"] = json.dumps(
        json.loads(header["lora_adapter_metadata"]) | {f"unet.{key}": value for key, value in ranks.notes().items()}
    )
    save_tensors(tmp_path / "full" / WEIGHTS, tensors, header)
    full = load_tiny("sd1")
    with find_format(tmp_path / "full").applied(full, tmp_path / "full"):
        torch.testing.assert_close(predict(fresh), predict(full), rtol=0, atol=1e-5)
    # the second sample has more noise, so it has lost more ranks
    difference = (predict(fresh) - predict(model)).abs().amax((1, 2, 3))
    assert difference[1] > difference[0] > 0


def test_export_says_that_ranks_are_lost(load_tiny, tiny_models, tmp_path, capsys):
    method = t_lora()
    method.save(moved(load_tiny("sd1"), method), tmp_path / "t")
    export(tmp_path / "t", tmp_path / "t.safetensors", words=[f"model.id={tiny_models / 'sd1'}"])
    assert "all ranks at every noise level" in capsys.readouterr().out
    tensors, header = load_tensors(tmp_path / "t.safetensors")
    assert header["ss_network_dim"] == "8"
    saved = load_tensors(tmp_path / "t" / WEIGHTS)[0]
    name = next(name for name in saved if name.endswith("to_q.lora_A.weight"))
    layer = name.removeprefix("unet.").removesuffix(".lora_A.weight").replace(".", "_")
    assert torch.equal(tensors[f"lora_unet_{layer}.lora_down.weight"], saved[name].half())


def test_orthogonal_factors_begin_orthonormal_and_without_effect(load_tiny):
    model = load_tiny("sd1")
    before = predict(model)
    (group,) = t_lora(targets=WIDE).attach(model, 0)
    torch.testing.assert_close(predict(model), before, rtol=0, atol=5e-6)
    for layer in begun.layers(denoiser(model)).values():
        a = layer.lora_A["default"].parametrizations.weight.original.detach().flatten(1)
        b = layer.lora_B["default"].parametrizations.weight.original.detach().flatten(1)
        for gram in (a @ a.T, b.T @ b):
            torch.testing.assert_close(gram, torch.eye(4), rtol=0, atol=1e-5)
        gain = layer.lora_B["default"].parametrizations.weight[0].gain.detach()
        assert (gain[:-1] >= gain[1:]).all()
        assert gain[-1] > 0
    assert sum(name.endswith("gain") for name in group.parameters) == len(begun.layers(denoiser(model)))


@pytest.mark.parametrize(
    "values", [{"rank": 0}, {"min_share": 0.0}, {"min_share": 1.5}, {"power": 0.0}, {"alpha": 0.0}]
)
def test_values_of_t_lora_that_cannot_be_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        t_lora(**values)


def test_values_of_pissa_that_cannot_be_are_refused():
    for rank, alpha in ((0, 1.0), (4, 0.0)):
        with pytest.raises(ConfigError, match="expected >= 1"):
            PissaMethod(rank, alpha, UNET)


@pytest.mark.parametrize("change", [{"unet.t_lora_rank": 3}, {"unet.t_lora_min_rank": 9}, {"unet.t_lora_power": -1}])
def test_a_header_that_cannot_be_is_refused(load_tiny, tmp_path, change):
    method = t_lora()
    method.save(moved(load_tiny("sd1"), method), tmp_path)
    tensors, header = load_tensors(tmp_path / WEIGHTS)
    header["lora_adapter_metadata"] = json.dumps(json.loads(header["lora_adapter_metadata"]) | change)
    save_tensors(tmp_path / WEIGHTS, tensors, header)
    model = load_tiny("sd1")
    with pytest.raises(ModelMismatchError), find_format(tmp_path).applied(model, tmp_path):
        pass
    assert not begun.layers(denoiser(model))


def test_t_lora_begins_with_its_own_ranks_alone(load_tiny, tmp_path):
    method = t_lora()
    method.save(moved(load_tiny("sd1"), method), tmp_path)
    model, other = load_tiny("sd1"), t_lora(min_share=1.0)
    other.attach(model, 0)
    with pytest.raises(ModelMismatchError, match=r"min_rank=2.*`method` trains .*min_rank=4"):
        other.start(model, tmp_path)


def test_a_lora_is_no_t_lora(load_tiny, tmp_path):
    model = trained(load_tiny, "sd1", False, False)
    LoraMethod(4, 8.0, 0.0, UNET, False, False, False, 0.0, []).save(model, tmp_path)
    with pytest.raises(ModelMismatchError, match="expected a checkpoint with t_lora_weights"):
        t_lora().start(model, tmp_path)


@pytest.mark.parametrize("method", [PissaMethod(4, 4.0, UNET), t_lora()], ids=["pissa", "t_lora"])
def test_switched_off_it_is_the_base_and_switched_on_the_same_half_trains(load_tiny, method):
    """As prior preservation by the base's own prediction does in every step."""
    model = load_tiny("sd1")
    before = predict(model)
    moved(model, method)
    group = {name for name, p in denoiser(model).named_parameters() if p.requires_grad}
    changed = predict(model)
    with method.only_part(model, None):
        assert torch.equal(predict(model), before)
    assert torch.equal(predict(model), changed)
    assert {name for name, p in denoiser(model).named_parameters() if p.requires_grad} == group
    assert not any("frozen" in name for name in group)
