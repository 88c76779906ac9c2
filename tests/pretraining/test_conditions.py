import pytest
import torch

from src.core.seeding import derive_seed
from src.pretraining.conditions import WORDINGS, TextCondition
from src.tabletop import captions
from src.tabletop.captions import caption
from tests.pretraining.conftest import CPU, SCENE, TEXT, image_set


@pytest.fixture
def written(monkeypatch):
    """The seeds of the captions that were written."""
    seeds = []

    def write(scene, seed):
        seeds.append(seed)
        return caption(scene, seed)

    monkeypatch.setattr(captions, "caption", write)
    return seeds


def condition(dropout):
    return TextCondition(TEXT, None, image_set(6, 0).captions, dropout, 3, CPU)


def test_each_image_has_some_captions_that_are_written_once(written):
    told, images, rows = condition(0.0), image_set(6, 0), torch.tensor([0, 2, 5])
    first = [told.training_arguments(images, rows, step)["encoder_hidden_states"] for step in range(WORDINGS)]
    assert len(written) == len(set(written)) == WORDINGS * len(rows)
    again = told.training_arguments(images, rows.flip(0), WORDINGS)["encoder_hidden_states"]
    assert len(written) == WORDINGS * len(rows), "nothing is written twice"
    assert torch.equal(again, first[0].flip(0))
    assert any(not torch.equal(first[0], other) for other in first[1:]), "the words change with the step"
    text = caption(SCENE, derive_seed(3, "caption", 1, 2))
    assert torch.allclose(first[1][1:2], told.arguments([text])["encoder_hidden_states"], atol=1e-6)


def test_captions_that_are_left_out_are_empty():
    told, images, rows = condition(1.0), image_set(6, 0), torch.tensor([0, 1])
    found = told.training_arguments(images, rows, 0)["encoder_hidden_states"]
    assert torch.allclose(found, told.arguments(["", ""])["encoder_hidden_states"], atol=1e-6)
