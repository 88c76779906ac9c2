import json

import pytest
import torch

from src.core.errors import ConfigError, MissingModelError, ModelMismatchError
from src.pretraining.autoencoder import AutoencoderTask, psnr, restore
from src.pretraining.engine import Given, Watch, train_from_noise
from src.pretraining.images import to_unit
from src.pretraining.plan import Plan
from src.tabletop.classifier import AlexNet
from src.training.schedules import ConstantSchedule
from src.training.state import StateFolder
from tests.pretraining.conftest import CPU, PLAN, image_set

MODEL = {
    "block_out_channels": [8, 16],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "mid_block_add_attention": False,
}
TERMS = {"kl": 1e-4, "perceptual": 0.0, "adversary": 0.0, "adversary_from": 0.5, "adversary_width": 8}
SIDE = 64


def make(channels=4, plan=PLAN, start=None, backbone=None, watched=None, trained="all", model=MODEL, **terms):
    given = Given(image_set(12, 0, SIDE), image_set(6, 1, SIDE), Plan(**plan), 3, CPU)
    return AutoencoderTask(
        given,
        model=model | {"latent_channels": channels},
        terms=TERMS | terms,
        backbone=backbone,
        recolour=0.5,
        whole_from=0.5,
        start=start,
        trained=trained,
        watched=watched or {},
    )


class Others:
    def load(self):
        return image_set(6, 2, SIDE)


def save_backbone(folder):
    torch.manual_seed(0)
    features = AlexNet().features.state_dict()
    torch.save({f"features.{name}": value for name, value in features.items()}, folder / "alexnet.pth")
    return str(folder)


def test_more_channels_restore_at_first_what_fewer_did(tmp_path):
    narrow = make(channels=4)
    narrow.save(tmp_path / "vae")
    wide = make(channels=6, start=str(tmp_path))
    pixels = image_set(6, 1, SIDE).pixels
    apart = restore(wide.vae, pixels, CPU).int() - restore(narrow.vae, pixels, CPU).int()
    assert apart.abs().max() <= 1, "one level of 255: products of another size round otherwise"


def test_new_channels_are_learnt(tmp_path):
    make(channels=4).save(tmp_path / "vae")
    wide = make(channels=6, start=str(tmp_path))
    for step in range(2):
        torch.manual_seed(step)
        wide.update(step)
    assert wide.vae.decoder.conv_in.weight[:, 4:].abs().max() > 0


def test_a_decoder_alone_learns_and_its_latents_stay(tmp_path):
    before = make()
    before.save(tmp_path / "vae")
    task = make(start=str(tmp_path), trained="decoder", plan=PLAN | {"steps": 30, "lr": 3e-3, "eval_every": 29})
    curves = train_from_noise(task, task.plan, ConstantSchedule(0), 3, StateFolder(tmp_path), Watch("", print))
    task.save(tmp_path / "after")
    after = type(before.vae).from_pretrained(tmp_path / "after")
    pixels = to_unit(image_set(6, 1, SIDE).pixels, CPU)
    assert torch.equal(after.encode(pixels).latent_dist.parameters, before.vae.encode(pixels).latent_dist.parameters)
    assert after.config.scaling_factor == before.vae.config.scaling_factor
    started = float(psnr(before.vae, task.val_set.pixels, CPU).mean())
    assert curves.evaluations[-1]["psnr"] > started + 1
    with pytest.raises(ConfigError, match=r"task\.trained=decoder: task\.start is needed"):
        make(trained="decoder")
    with pytest.raises(ModelMismatchError, match="4 latent channels, expected 6"):
        make(channels=6, start=str(tmp_path), trained="decoder")
    with pytest.raises(ConfigError, match=r"task\.trained=encoder: expected all or decoder"):
        make(trained="encoder")


def test_an_autoencoder_without_a_convolution_at_its_latents_trains():
    model = MODEL | {"use_quant_conv": False, "use_post_quant_conv": False}
    task = make(model=model)
    before = task.vae.encoder.conv_in.weight.detach().clone()
    task.update(0)
    assert not torch.equal(task.vae.encoder.conv_in.weight, before)


def test_a_start_that_does_not_fit_is_refused(tmp_path):
    make(channels=6).save(tmp_path / "vae")
    with pytest.raises(ModelMismatchError, match="6 latent channels, expected at most 4"):
        make(channels=4, start=str(tmp_path))
    config = json.loads((tmp_path / "vae/config.json").read_text()) | {"block_out_channels": [16, 16]}
    other = type(make().vae).from_config(config)
    other.save_pretrained(tmp_path / "other/vae")
    with pytest.raises(ModelMismatchError, match="another size"):
        make(channels=6, start=str(tmp_path / "other"))
    with pytest.raises(MissingModelError, match=r"expected one that train\.py saved"):
        make(start=str(tmp_path / "nothing"))


def test_training_restores_better_and_measures_watched_sets(tmp_path):
    task = make(plan=PLAN | {"steps": 30, "lr": 3e-3, "eval_every": 29}, watched={"others": Others()})
    curves = train_from_noise(task, task.plan, ConstantSchedule(0), 3, StateFolder(tmp_path), Watch("", print))
    first, last = curves.evaluations
    assert {"psnr", "psnr_others"} < set(first)
    assert curves.losses[-1]["l1"] < 0.8 * curves.losses[0]["l1"]
    assert last["psnr"] == pytest.approx(float(psnr(task.vae, task.val_set.pixels, CPU).mean()))


def test_the_metric_model_joins_late_and_changes_what_is_learnt():
    alone, compared = make(), make(adversary=0.5)
    for step in range(5):
        for task in (alone, compared):
            torch.manual_seed(step)
            values = task.update(step)
        same = torch.equal(alone.vae.decoder.conv_out.weight, compared.vae.decoder.conv_out.weight)
        assert same == (step < 3), "adversary_from is half of six updates"
        assert (float(values["discriminator"]) == 0) == (step < 3)


def test_lpips_needs_a_backbone_and_changes_the_loss(tmp_path):
    with pytest.raises(ConfigError, match=r"task\.backbone is needed"):
        make(perceptual=1.0)
    with pytest.raises(ConfigError, match=r"task\.terms\.kl=-1"):
        make(kl=-1)
    without, with_features = make(), make(perceptual=1.0, backbone=save_backbone(tmp_path))
    torch.manual_seed(0)
    without = without.update(0)
    torch.manual_seed(0)
    values = with_features.update(0)
    assert float(values["lpips"]) > 0
    assert float(values["loss"]) == pytest.approx(float(without["loss"] + values["lpips"]), rel=1e-5)
