"""What a run costs, counted before it and measured in small."""

import sys

import pytest
from torch.utils.flop_counter import FlopCounterMode

from src.commands import method_cost, plan
from src.commands.plan import UnitCost, Work, cost_of_image, count_work, describe
from src.core.config import load_settings
from src.sampling.generator import Job, sample
from src.sampling.prompts import Prompt
from src.stages.drawing import load_model
from src.stages.sampling_setup import sampling_settings
from tests.tiny.diffusion import build_diffusion
from tests.tiny.words import WORDS

SMALL = ["model=tiny", "device=cpu", "subject=toy", "train.batch_size=2", "validation_args.batch_size=2"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    build_diffusion(tmp_path / "models/tiny/sd", "sd1", list(WORDS), 0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(method_cost, "WARM_UP", 1)
    monkeypatch.setattr(plan, "UPDATES", 2)
    return tmp_path


def test_a_run_of_sd15_generates_what_choice_and_report_read():
    words = ["model=sd15", "subject=toy"]
    # 16 dev and 48 test prompts, 50 images of the class and 50 of the subject alone; 500 updates, every 100th is kept
    assert count_work(load_settings(words)) == Work(500, 5, 0, 6 * 16, 2 * (48 + 100))
    every = count_work(load_settings([*words, "inferencer.test_checkpoints=all", "prior.weight=1"]))
    assert (every.class_images, every.choosing + every.testing) == (100, 984)
    longer = count_work(load_settings([*words, "train.steps=510", "prior.weight=1", "prior.form=prediction"]))
    assert (longer.checkpoints, longer.class_images) == (6, 0)


def test_the_table_counts_every_subject_and_adds_up():
    mebibyte = 2**20
    works = [Work(300, 3, 0, 64, 128), Work(500, 5, 0, 96, 296)]
    lines = describe(works, UnitCost(2.0, 0.3, 12 * mebibyte), UnitCost(30.0, 1.5, 0.5 * mebibyte), None)
    assert lines[2:] == [
        "| train | 800 updates, 8 checkpoints | 1600 | 4 | 96 |",
        "| choose | 160 images | 4800 | 4 | 80 |",
        "| generate | 424 images | 1.272e+04 | 10.6 | 212 |",
        "| in all | 2 subjects, one after the other | 1.912e+04 | 18.6 | 388 |",
    ]
    with_class = describe(
        [Work(300, 3, 100, 64, 128)], UnitCost(2, 0.3, 0), UnitCost(30, 1.5, 0), UnitCost(15, 0.6, mebibyte)
    )
    assert with_class[2] == "| class_images | 100 images | 1500 | 1 | 100 |"
    assert "| in all | 1 subject |" in with_class[-1]


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_an_image_of_many_steps_costs_what_is_foreseen_from_few(project, guidance):
    params = load_settings([*SMALL, "validation_args.num_inference_steps=7"])
    found = cost_of_image(params, 7, guidance)
    params.validation_args.guidance_scale = guidance
    settings = sampling_settings(params)
    jobs = [Job(Prompt("a", "dev", "g", "a {subject}"), "a photo of a toy", seed) for seed in range(2)]
    model = load_model(params, settings)
    with FlopCounterMode(display=False) as counter:
        list(sample(model, settings, jobs))
    assert found.tflop == pytest.approx(counter.get_total_flops() / 2 / 1e12, rel=1e-6)
    assert found.seconds > 0
    assert found.size > 100


def test_the_command_measures_here_and_keeps_nothing(project, monkeypatch, capsys):
    subject = project / "subjects/dog3"
    (subject / "raw").mkdir(parents=True)
    (subject / "subject.yaml").write_text("class_name: dog\n")
    words = [word for word in SMALL if word != "subject=toy"]
    monkeypatch.setattr(sys, "argv", ["plan", *words, "prior.weight=1", "prior.num_images=3", "--subjects"])
    plan.main()
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if line.startswith("model="))
    assert "an update of 2 images" in head
    assert any(line.startswith("| class_images | 3 images |") for line in lines)
    total = next(line for line in lines if line.startswith("| in all | 1 subject |"))
    assert all(float(cell) > 0 for cell in total.split("|")[3:6])
    assert {path.name for path in project.iterdir()} <= {"models", "subjects", ".cache"}


def test_a_base_that_is_not_here_is_one_line(project, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plan", "model=sd15", "subject=toy", "device=cpu"])
    with pytest.raises(SystemExit):
        plan.main()
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "python -m src.commands.fetch" in said[0]
