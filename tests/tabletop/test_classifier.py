import json

import pytest
import torch

from src.core.errors import MissingModelError
from src.models.tensors import save_tensors
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.classifier import ANSWERS, Classifier, load_classifier
from src.tabletop.toys import CLASSES, COLOURS

CPU = torch.device("cpu")


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return Classifier([8, 16, 24], 32).eval()


def test_reader_answers_each_question_about_any_size(classifier):
    for side in (16, 40):
        features, answers = classifier(torch.rand(2, 3, side, side) * 2 - 1)
        assert features.shape == (2, 24)
        assert {name: logits.shape for name, logits in answers.items()} == {
            "name": (2, len(CLASSES)),
            "colour": (2, len(COLOURS)),
            "background": (2, len(BACKGROUNDS)),
        }


def test_reader_answers_are_sorted_words_of_the_world():
    assert {"name": sorted(CLASSES), "colour": sorted(COLOURS), "background": sorted(BACKGROUNDS)} == ANSWERS


def test_reader_reads_each_image_alone(classifier):
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    together, alone = classifier(images)[0], torch.cat([classifier(image[None])[0] for image in images])
    assert torch.allclose(together, alone, atol=1e-5)


def test_reader_trains_every_weight(classifier):
    features, answers = classifier(torch.rand(2, 3, 16, 16))
    (features.sum() + sum(logits.square().sum() for logits in answers.values())).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in classifier.parameters())


def test_load_reader_reads_what_was_saved_in_half_precision(classifier, tmp_path):
    halved = {name: value.half() for name, value in classifier.state_dict().items()}
    save_tensors(tmp_path / "model.safetensors", halved, {})
    (tmp_path / "config.json").write_text(json.dumps({"widths": classifier.widths, "side": classifier.side}))
    loaded = load_classifier(tmp_path, CPU)
    assert not loaded.training
    assert loaded.side == 32
    assert not any(weight.requires_grad for weight in loaded.parameters())
    images = torch.rand(2, 3, 16, 16)
    assert torch.allclose(loaded(images)[0], classifier(images)[0], atol=1e-2)


def test_load_reader_names_the_command_that_brings_it(tmp_path):
    with pytest.raises(MissingModelError, match=r"classifier: no classifier there; `dvc pull"):
        load_classifier(tmp_path / "classifier", CPU)
