"""The promises that need the whole pipeline: complete outputs, no names in them, rerun only what changed."""

import json
import re
import shutil

import pandas as pd
import pytest
import yaml

from tests.integration.project import hashes, run
from tests.integration.warm import run_warm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(first_copy):
    return first_copy[0]


def test_second_repro_does_nothing_and_git_is_clean(project):
    output = run_warm(project, "dvc", "repro")
    assert "Running stage" not in output
    assert "up to date" in output
    # not `dvc status` alone: that walks tabletop/dvc.yaml, too
    assert "up to date" in run_warm(project, "dvc", "status", "dvc.yaml")
    changed = run(project, "git", "status", "--short").stdout.split()[1::2]
    assert all(name == "dvc.lock" or name.startswith("metrics/") for name in changed), changed


def test_outputs_are_complete(project):
    metrics = json.loads((project / "metrics/details.json").read_text())
    for row in ("run", "base", "real", "copy"):
        assert "clip_i" in metrics[row]
    assert {"dino", "clip_i", "clip_t", "div_lpips"} <= metrics["run"].keys()
    assert sorted(p.name for p in (project / "models/adapter").iterdir()) == ["step-000006", "step-000012"]
    manifest = pd.read_csv(project / "data/samples/manifest.csv")
    whole = 4 + 2 * 3  # dev and test prompts once, class and subject alone
    assert sorted(manifest.groupby("variant").size()) == [2, whole, whole], "the checkpoint that was not chosen: dev"
    split = pd.read_csv(project / "data/split.csv")
    assert set(split.split) == {"train", "val"}
    assert (project / "metrics/report.html").stat().st_size > 500_000


def test_no_output_names_a_person_or_a_place(project):
    raw = b"".join(p.read_bytes() for p in sorted((project / "data/raw").iterdir()))
    assert b"PII-SENTINEL" in raw
    for folder in ("data/images", "data/crops", "data/samples", "metrics", "models/adapter"):
        for path in (project / folder).rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert b"PII-SENTINEL" not in content, path
                assert str(project).encode() not in content, path


def changed_stages(project, *replacements):
    """Stages that an edit of params.yaml touches directly; those that follow from their outputs are not listed."""
    params = project / "params.yaml"
    text = params.read_text()
    edited = text
    for old, new in replacements:
        assert old in edited
        edited = edited.replace(old, new, 1)
    params.write_text(edited)
    try:
        status = json.loads(run_warm(project, "dvc", "status", "--json", "dvc.yaml").splitlines()[-1])
    finally:
        params.write_text(text)
    return {
        stage.split(":")[-1]
        for stage, changes in status.items()
        if any(
            "changed deps" in c and any(k != "params.yaml" or isinstance(v, dict) for k, v in c["changed deps"].items())
            for c in changes
            if isinstance(c, dict)
        )
    }


@pytest.mark.parametrize(
    ("edit", "first", "untouched"),
    [
        (
            ("lr: 0.0001", "lr: 0.0002"),
            "train",
            {"convert", "crop", "caption", "split", "class_images", "choose", "generate", "evaluate"},
        ),
        (
            ("guidance_scale: 7.5\n  negative_prompt", "guidance_scale: 6.5\n  negative_prompt"),
            "generate",
            {"train", "crop", "convert"},
        ),
        (("max_upscale: 2.0", "max_upscale: 3.0"), "crop", {"convert", "train", "generate"}),
    ],
)
def test_an_edit_reruns_its_stage_and_nothing_before(project, edit, first, untouched):
    changed = changed_stages(project, edit)
    assert first in changed
    assert not changed & untouched


def test_only_an_edit_of_code_reruns_only_what_imports_it_and_no_cache_serves_the_old(project):
    file = project / "src/sampling/cache.py"
    text = file.read_text()
    sample = ("python", "inference.py", "prompt=a photo of sksToy bear", "validation_args.num_images_per_prompt=1")

    def generated(name):
        run_warm(project, *sample, f"exp.run_dir=outputs/{name}")
        return hashes(project / f"outputs/{name}/pictures")

    def changed():
        run_warm(project, "dvc", "repro", "-q", "config")
        return changed_stages(project)

    try:
        first = generated("before")
        file.write_text(text + "# a comment\n")
        assert changed() == set()
        file.write_text(text.replace("PNG_LEVEL = ", "PNG_LEVEL = 7 - "))
        assert changed() == {"class_images", "train", "choose", "generate"}
        cached = generated("edited")
        shutil.rmtree(project / ".cache/samples")
        assert generated("without-a-cache") == cached
        assert cached != first
    finally:
        file.write_text(text)
        run_warm(project, "dvc", "repro", "-q", "config")


def test_experiment_with_another_rate_retrains_and_compares(project):
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "first run")
    before = hashes(project / "models/adapter")
    output = run_warm(project, "dvc", "exp", "run", "-S", "lr=3e-3", "-S", "loss=mse")
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert ran == {"config", "train", "choose", "generate", "evaluate", "report"}
    difference = json.loads(run_warm(project, "dvc", "metrics", "diff", "--json"))
    assert "dino_tiny" in difference["metrics/metrics.json"]
    assert hashes(project / "models/adapter") != before
    made_by = yaml.safe_load((project / "models/adapter/step-000012/config.yaml").read_text())
    assert (made_by["lr"], made_by["loss"]["_target_"]) == (0.003, "src.losses.diffusion.MSELoss")
    trained = {
        path.parent.name[:8] + path.parent.name[16:] for path in project.glob(".train_state/*/state.safetensors")
    }
    watched = {path.name for path in (project / "logs/tensorboard").iterdir()}
    assert len(trained) == 2
    assert {name for name in watched if "-evaluate-" not in name} == {f"sksToy-tiny-{name}" for name in trained}
    run(project, "git", "checkout", "-q", ".")
    run_warm(project, "dvc", "checkout", "-q", "--force")
    assert hashes(project / "models/adapter") == before


def test_stale_params_are_refused_before_anything_runs(project):
    config = project / "configs/config.yaml"
    text = config.read_text()
    config.write_text(text.replace("rank: 16", "rank: 8"))
    result = run(project, "dvc", "repro", "evaluate", check=False)
    config.write_text(text)
    assert result.returncode != 0
    assert "composed from another configs/" in result.stdout
    assert "src.stages.config write" in result.stdout


def test_inference_generates_one_prompt_with_the_chosen_checkpoint(project):
    moon = ("python", "inference.py", "prompt=a photo of sksToy bear, on the moon", "exp.run_dir=outputs/moon")
    run_warm(project, *moon, "validation_args.num_images_per_prompt=3")
    images = sorted((project / "outputs/moon/pictures").rglob("*.png"))
    assert [re.sub(r"-[0-9a-f]{8}", "", p.name) for p in images] == ["0.png", "1.png", "2.png"]
    before = hashes(project / "outputs/moon/pictures")
    run_warm(project, *moon, "validation_args.num_images_per_prompt=1", "validation_args.seed=7")
    after = hashes(project / "outputs/moon/pictures")
    pictures = {name: digest for name, digest in before.items() if name.endswith(".png")}
    assert pictures.items() <= after.items()
    assert len([name for name in after if name.endswith(".png")]) == 4
    chosen = json.loads((project / "metrics/metrics.json").read_text())["selected_step"]
    assert images[0].parts[-3] == f"step-{chosen:06d}"


def test_commands_agree_with_the_pipeline(project):
    run_warm(
        project,
        "python",
        "inference.py",
        "exp.config_path=params.yaml",
        "inferencer.ckpt_dir=models/adapter",
        "exp.run_dir=outputs/alone",
    )
    assert hashes(project / "outputs/alone/data/samples") == hashes(project / "data/samples")
