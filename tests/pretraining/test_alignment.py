import json

import pytest
import timm
import torch

from src.core.errors import ConfigError, MissingModelError
from src.models.tensors import save_tensors
from src.pretraining.alignment import Alignment
from tests.pretraining.conftest import PLAN

MODEL = {"img_size": 8, "patch_size": 2, "embed_dim": 12, "depth": 1, "num_heads": 2}


@pytest.fixture
def encoder(tmp_path):
    torch.manual_seed(0)
    extractor = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0, **MODEL)
    save_tensors(
        tmp_path / "model.safetensors", {k: v.half() for k, v in extractor.state_dict().items()}, {"format": "pt"}
    )
    config = {"architecture": "vit_small_patch16_224", "pretrained_cfg": {}, "model_args": MODEL}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


def test_the_middle_learns_what_the_encoder_sees(make_diffusion, encoder):
    task = make_diffusion(plan=PLAN | {"steps": 40, "lr": 3e-3}, alignment=Alignment(encoder, 1.0))
    assert "projector" not in task.averaged
    losses = []
    for step in range(40):
        torch.manual_seed(step)
        losses.append(float(task.update(step)["alignment"]))
    assert losses[0] == pytest.approx(1, abs=0.5), "a cosine near 0"
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_alignment_changes_the_unet_and_not_what_is_saved(make_diffusion, encoder, tmp_path):
    plain, aligned = make_diffusion(), make_diffusion(alignment=Alignment(encoder, 1.0))
    names = set(plain.unet.state_dict())
    assert set(aligned.unet.state_dict()) == names
    for task in (plain, aligned):
        torch.manual_seed(0)
        task.update(0)
    changed = [n for n, v in plain.unet.state_dict().items() if not torch.equal(v, aligned.unet.state_dict()[n])]
    assert any(name.startswith("down_blocks") for name in changed)


def test_values_that_cannot_work_are_refused(encoder, tmp_path):
    with pytest.raises(ConfigError, match=r"task\.alignment\.weight=0"):
        Alignment(encoder, 0)
    with pytest.raises(MissingModelError, match="no vision transformer there"):
        Alignment(str(tmp_path / "nothing"), 1)
