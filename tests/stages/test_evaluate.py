"""The whole stage on tiny metric models: contents, provenance, bad input, no network, same bytes."""

import json
import shutil
import socket
from contextlib import chdir
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageFilter

from src.comparison.selected import Selection
from src.core.building import build
from src.core.config import load_settings
from src.core.errors import ConfigError, MetricError, MissingModelError, ModelMismatchError
from src.core.files import sha256_file, sha256_tree
from src.features.store import FeatureStore
from src.stages.evaluate import build_metrics, evaluate_samples
from tests.metrics.synthetic import write_photos, write_samples
from tests.tiny.metric_models import build_metric_models

VARIANTS = ("base", "step-000010", "step-000020")
PROMPTS = (("d0", "dev"), ("d1", "dev"), ("t0", "test"), ("t1", "test"), ("t2", "test"))
SUBJECT_ONLY = (("class-only", "class-only"), ("subject-only", "subject-only"))
METRICS = ["clip_i", "clip_t", "copy_gap", "dino", "div_lpips", "nn_train", "part_train"]


@pytest.fixture(scope="module")
def metric_models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    build_metric_models(folder / "models/tiny/metric_models", seed=0)
    return folder


def fill(folder, metric_models):
    (folder / "models").symlink_to(metric_models / "models")
    write_photos(folder / "data")
    write_samples(folder / "data/samples", VARIANTS, PROMPTS + SUBJECT_ONLY)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch, metric_models) -> Path:
    monkeypatch.chdir(fill(tmp_path, metric_models))
    return tmp_path


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, metric_models) -> tuple[Path, dict]:
    """Such a project after a whole evaluation, and its summary; nobody may change it."""
    folder = fill(tmp_path_factory.mktemp("evaluated"), metric_models)
    with chdir(folder):
        return folder, evaluate(folder)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the evaluation opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


CHOSEN = Selection("step-000010", "rule", {"floor": 0.5})


def evaluate(project, *overrides, out="metrics", batch_size=16, chosen=CHOSEN):
    metrics = build_metrics(load_settings(["model=tiny", *overrides]))
    store = FeatureStore(batch_size, "cpu")
    return evaluate_samples(project / "data", project / out, metrics, store, "sksToy", chosen, blurred(project))


def blurred(project):
    """Stands for an autoencoder: takes the finest detail from photos."""

    def decode(photos):
        (project / "decoded").mkdir(exist_ok=True)
        for path in photos:
            Image.open(path).filter(ImageFilter.GaussianBlur(1)).save(project / "decoded" / path.name)
        return [project / "decoded" / path.name for path in photos]

    return decode


def test_evaluate_writes_one_row_per_image_and_metric(evaluated):
    project, summary = evaluated
    table = pd.read_csv(project / "metrics/scores.csv", keep_default_na=False)
    columns = ["variant", "prompt_id", "set", "group", "seed", "metric", "references", "value", "reason"]
    assert list(table.columns) == columns
    assert sorted(set(table["metric"])) == [*METRICS, "pres"]
    per_variant = table.groupby("variant").size()
    rows = 2 + 2 + 1 + 1 + 3  # dino and clip_i have two sets of references, nn_train has gap and parts beside it
    of_photos = {"copy": 54, "copy (autoencoder)": 54, "real": 18, "real (autoencoder)": 18}
    assert per_variant.to_dict() == {"base": 102, "step-000010": 102, "step-000020": 102, **of_photos}
    # the class alone is for pres (two sets of references), the subject alone for nn_train and diversity
    assert per_variant["base"] == (rows * len(PROMPTS) + 2 + 4) * 2
    assert set(table[table["set"] == "class-only"]["metric"]) == {"pres"}
    assert set(table[table["set"] == "subject-only"]["metric"]) == {"nn_train", "copy_gap", "part_train", "div_lpips"}
    assert table["value"].astype(float).between(-1, 1).all()
    assert (table["reason"] == "").all()
    assert not table.duplicated(["variant", "prompt_id", "seed", "metric", "references"]).any()
    assert json.loads((project / "metrics/details.json").read_text()) == summary


def test_evaluate_means_follow_from_the_rows(evaluated):
    project, summary = evaluated
    table = pd.read_csv(project / "metrics/scores.csv")
    keys = {*METRICS, "clip_i_train", "dino_train", "pres", "pres_train"}
    run = f"step-{summary['selected_step']:06d}"
    reported = [("base", "test", summary["base"]), ("copy", "test", summary["copy"]), (run, "test", summary["run"])]
    for variant, prompt_set, means in reported + [(name, "dev", of) for name, of in summary["checkpoints"].items()]:
        of_class = {"pres", "pres_train"} if variant != "copy" and prompt_set == "test" else set()
        drift = {"kid"} if of_class and variant == run else set()
        assert set(means) == keys - {"pres", "pres_train"} | of_class | drift
        for metric in METRICS:
            rows = table[(table["variant"] == variant) & (table["set"] == prompt_set) & (table["metric"] == metric)]
            rows = rows[rows["references"] != "train"]
            assert means[metric] == pytest.approx(rows.groupby("prompt_id")["value"].mean().mean(), abs=1e-6)
    real = {*METRICS, "clip_i_leave_one_out", "dino_leave_one_out"}
    assert set(summary["real"]) == set(summary["real (autoencoder)"]) == real
    assert set(summary["copying"]) == {"nn_train_p95", "share_over_real", "meehan_z"}
    assert summary["copy"]["nn_train"] == summary["copy (autoencoder)"]["nn_train"] == pytest.approx(1)
    share = summary["run"]["dino"] / summary["real (autoencoder)"]["dino"]
    assert summary["reached"]["dino"] == pytest.approx(share, abs=1e-5)
    assert {*METRICS, "pres"} == set(summary["against_base"])
    counts = summary["counts"]
    assert (counts["val_photos"], counts["train_photos"], counts["images_per_variant"]) == (2, 3, 14)


def test_evaluate_asks_for_images_that_a_metric_needs(project):
    write_samples(project / "data/samples", VARIANTS, PROMPTS)
    for variant, (name, _) in product(VARIANTS, SUBJECT_ONLY):
        shutil.rmtree(project / "data/samples" / variant / name)
    with pytest.raises(MetricError, match=r"pres: there are no images of its prompt sets \(class-only\); generate"):
        evaluate(project)
    assert not (project / "metrics").exists()


def test_evaluate_copy_scores_what_the_real_photos_score(project):
    summary = evaluate(project, "inference_metrics=[dino]")
    # each training photo stands in two places: the same pairs of photos, seen from the other side
    assert summary["copy"]["dino"] == pytest.approx(summary["real"]["dino"], abs=2e-6)
    assert summary["copy"]["dino_train"] > summary["copy"]["dino"]  # a copy finds itself there


def test_evaluate_pres_of_the_only_held_out_photo_itself_is_one(project):
    split, manifest = project / "data/split.csv", project / "data/samples/manifest.csv"
    split.write_text(split.read_text().replace("photo4-00000000,val", "photo4-00000000,train"))
    photo, table = project / "data/crops/photo3-00000000.png", pd.read_csv(manifest)
    generated = (table["set"] == "class-only") & (table["variant"] != "base")
    for path in table["path"][generated]:
        shutil.copy(photo, project / "data/samples" / path)
    table.assign(sha256=table["sha256"].mask(generated, sha256_file(photo))).to_csv(manifest, index=False)
    summary = evaluate(project, "inference_metrics=[pres]")
    assert summary["run"]["pres"] == pytest.approx(1)
    assert summary["base"]["pres"] < 0.999


def test_evaluate_gives_the_same_bytes_whatever_folder_batch_threads_and_order(project, evaluated):
    first = evaluated[0] / "metrics"
    for table in ("samples/manifest.csv", "split.csv", "captions.csv"):
        path = project / "data" / table
        pd.read_csv(path).sample(frac=1, random_state=3).to_csv(path, index=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    evaluate(project, "inference_metrics=[nn_train,div_lpips,pres,clip_t,dino,clip_i]", out="again")
    torch.set_num_threads(threads)
    for name in ("scores.csv", "details.json", "metrics.json", "prompts.csv"):
        assert (project / "again" / name).read_bytes() == (first / name).read_bytes()
    evaluate(project, out="small", batch_size=3)
    ours, small = (pd.read_csv(folder / "scores.csv") for folder in (first, project / "small"))
    assert np.allclose(ours["value"], small["value"], atol=2e-6)


def test_evaluate_metadata_names_metric_models_prompts_and_photos(project):
    evaluate(project, "inference_metrics=[dino,text_sim]")
    meta = json.loads((project / "metrics/metrics_meta.json").read_text())
    assert set(meta["metric_models"]) == {"dino", "clip_t"}
    clip = meta["metric_models"]["clip_t"]
    assert clip["sha256"] == sha256_file(project / clip["id"] / clip["file"])
    assert "bicubic" in meta["metric_models"]["dino"]["preprocessing"]
    assert set(meta["references"]["val"]) == {"photo3-00000000.png", "photo4-00000000.png"}
    assert len(meta["prompt_set_sha256"]) == 64
    assert meta["seeds"] == [0, 1]
    assert {"open_clip_torch", "timm", "torch"} <= set(meta["versions"])
    assert (meta["selected"], meta["selection"]["floor"], meta["bar_missed"]) == ("step-000010", 0.5, False)
    assert str(project) not in json.dumps(meta)


def test_evaluate_prompt_table_has_the_test_prompts(evaluated):
    project, summary = evaluated
    table = pd.read_csv(project / "metrics/prompts.csv")
    assert list(table["prompt_id"]) == ["t0", "t1", "t2"]
    assert table["dino"].mean() == pytest.approx(summary["run"]["dino"], abs=1e-5)
    assert table["clip_t_base"].mean() == pytest.approx(summary["base"]["clip_t"], abs=1e-5)


def test_evaluate_of_one_image_per_prompt_compares_those_of_the_subject_alone(project):
    manifest = project / "data/samples/manifest.csv"
    table = pd.read_csv(manifest)
    second = (table["seed"] == 1) & table["set"].isin(["dev", "test"])
    for path in table.loc[second, "path"]:
        (project / "data/samples" / path).unlink()
    table[~second].to_csv(manifest, index=False)
    summary = evaluate(project, "inference_metrics=[dino,div_lpips]")
    scores = pd.read_csv(project / "metrics/scores.csv")
    diversity = scores[(scores["set"] == "subject-only") & (scores["metric"] == "div_lpips")]
    alone = diversity.groupby("variant")["value"].mean()
    chosen = f"step-{summary['selected_step']:06d}"
    assert summary["run"]["div_lpips"] == pytest.approx(alone[chosen], abs=1e-6)
    assert summary["against_base"]["div_lpips"]["mean"] == pytest.approx(alone[chosen] - alone["base"], abs=1e-6)
    assert "div_lpips" not in summary["copy"]
    assert json.loads((project / "metrics/metrics.json").read_text())["div_lpips_tiny"] == summary["run"]["div_lpips"]


def test_evaluate_of_one_image_per_prompt_has_a_reason_instead_of_a_diversity(project):
    for path in sorted((project / "data/samples").rglob("*.png")):
        path.unlink()
    write_samples(project / "data/samples", VARIANTS, PROMPTS + SUBJECT_ONLY, seeds=(0,))
    summary = evaluate(project)
    assert "div_lpips" not in summary["run"]
    assert summary["counts"]["scored"]["div_lpips"] == 4  # the two held-out photos, sharp and decoded
    table = pd.read_csv(project / "metrics/scores.csv", keep_default_na=False)
    missing = table[table["value"] == ""]
    assert set(missing["metric"]) == {"div_lpips"}
    assert missing["reason"].str.contains("only image of its prompt").all()


def test_evaluate_with_one_held_out_photo_works(project):
    split = project / "data/split.csv"
    split.write_text(split.read_text().replace("photo4-00000000,val", "photo4-00000000,train"))
    summary = evaluate(project, "inference_metrics=[dino]")
    assert set(summary["real"]) == {"dino"}


def test_evaluate_leaves_earlier_results_whole_on_an_error(project, evaluated):
    shutil.copytree(evaluated[0] / "metrics", project / "metrics")
    before = sha256_tree(project / "metrics")
    Image.new("RGB", (8, 8)).save(project / "data/samples/base/t0/0.png")
    with pytest.raises(MetricError, match="sha256 is"):
        evaluate(project)
    assert sha256_tree(project / "metrics") == before


def test_evaluate_checks_images_and_metric_models_before_any_model_loads(project, monkeypatch):
    monkeypatch.setattr("src.features.store.FeatureStore.extractor", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(ModelMismatchError, match="expected 0000"):
        evaluate(project, f"metric_models.clip.sha256='{'0' * 64}'")
    with pytest.raises(MissingModelError, match="nowhere"):
        evaluate(project, "metric_models.lpips.id=nowhere")
    (project / "data/samples/base/t0/0.png").unlink()
    with pytest.raises(MetricError, match="missing files"):
        evaluate(project)


def test_evaluate_refuses_unknown_metrics():
    with pytest.raises(ConfigError, match="unknown fid; known are clip_i, clip_t, dino, div_lpips, nn_train, pres"):
        build_metrics(load_settings(["inference_metrics=[dino,fid]"]))


def test_evaluate_names_a_prompt_over_clips_limit(project):
    manifest = project / "data/samples/manifest.csv"
    table = pd.read_csv(manifest)
    table["prompt_plain"] = table["prompt_plain"].replace("a toy t1", " ".join(["toy"] * 76))
    table.to_csv(manifest, index=False)
    with pytest.raises(MetricError, match="78 tokens"):
        evaluate(project, "inference_metrics=[text_sim]")


@pytest.mark.parametrize("choice", ["default", "cropped", "dinov2", "faces"])
def test_evaluate_configuration_calls_each_metric_by_its_key(choice):
    words = ["model=sd15", f"metrics={choice}"]
    params = load_settings(words)
    chosen = build_metrics(load_settings([*words, f"inference_metrics=[{','.join(params.metrics)}]"]))
    assert [metric.name for metric in chosen] == list(params.metrics)


@pytest.mark.parametrize("model", ["tiny", "sd15"])
def test_evaluate_configuration_names_the_metric_models_that_metrics_use(model):
    params = load_settings([f"model={model}", f"inference_metrics=[{','.join(load_settings([]).metrics)}]"])
    models = {name: build(model, f"metric_models.{name}") for name, model in params.metric_models.items()}
    metrics = {metric.name: metric.model for metric in build_metrics(params)}
    assert params.metrics.keys() == metrics.keys()
    assert metrics == {
        **{"dino": models["dino"], "div_lpips": models["lpips"], "clip_i": models["clip"], "clip_t": models["clip"]},
        **dict.fromkeys(("pres", "nn_train", "unrelated"), models["dino"]),
    }


def test_evaluate_public_metric_models_are_the_published_ones():
    clip, dino, lpips = (load_settings(["model=sd15"]).metric_models[name] for name in ("clip", "dino", "lpips"))
    assert (clip["architecture"], clip["quick_gelu"]) == ("ViT-B-32-quickgelu", True)
    assert (dino["architecture"], dino["resize_px"], dino["crop_px"]) == ("vit_small_patch16_224.dino", 256, 224)
    assert (lpips["sha256"][:8], lpips["size_px"]) == ("7be5be79", 256)
