"""Makes a whole fake project folder in the formats that the stages write, small and coloured, without any model."""

import csv
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from src.core.config import load_settings
from tests.metrics.quantities import described

STEPS = (100, 200, 300)
SELECTED = 200
SEEDS = (0, 1)
GROUPS = ("recontext", "property", "outfit", "style")
VARIANTS = ("base", *(f"step-{step:06d}" for step in STEPS))
RED, BLUE = (220, 90, 60), (120, 130, 210)
# fmt: off
PLACES = (
    "in the jungle", "in the snow", "on the beach", "on a cobblestone street",
    "on top of pink fabric", "on top of a wooden floor", "with a city behind it", "with mountains behind it",
    "in a forest", "in a wheat field", "floating on water", "made of glass",
    "in purple", "that is wet", "in the shape of a cube", "wearing a red hat",
    "in a chef outfit", "as an oil painting", "in watercolours", "with <script>alert(1)</script> & \"quotes'",
)
# fmt: on
METRICS = ("dino", "clip_i", "clip_t", "div_lpips", "nn_train")
SENTINEL = "PII-SENTINEL"

CHOSEN = (
    *("model=sd15", "model.id=/home/someone/models/sd15", "subject=toy", "lr=1e-4", "rank=16", "train.steps=300"),
    *("validation_args.num_inference_steps=30", "validation_args.guidance_scale=7.5"),
    *("evaluate.select_clip_t_margin=0.02", "evaluate.margins.clip_t=0.005"),
)


@cache
def facts(language="en"):
    """What was run."""
    return load_settings([*CHOSEN, f"report.language={language}"])


PARAMS = """\
lr: 0.0001
rank: 16
model:
  name: sd15
  id: /home/someone/models/sd15
subject:
  token: sksToy
  class_name: toy
train:
  sample_prompts:
  - a photo of sksToy toy
metric models:
  clip:
    id: "~/weights/clip"
"""


def make_project(root: Path, photos: int = 14) -> Path:
    """Writes every file that the report reads; returns `root`."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(PARAMS)
    ids = _photos(root, photos, rng)
    _samples(root, rng)
    _scores(root, rng)
    nearest = [(v, prompt, which, seed, ids[0]) for v, prompt, which, _, _, seed in _images(VARIANTS)]
    _write(root / "metrics/nearest.csv", "variant,prompt_id,set,seed,photo", nearest)
    _training(root, rng)
    _write(root / "metrics/tokens.csv", "tokenizer,token,pieces,n_pieces", [("tokenizer", "sksToy", "sks toy</w>", 2)])
    meta = {
        "selected": f"step-{SELECTED:06d}",
        "selection": {"reason": "rule", "floor": 0.2, "margin": 0.02},
        "quantities": described(),
        "metric_models": {
            "clip_t": {"id": "timm/clip", "revision": "abc", "sha256": "0" * 64, "folder": "/srv/hub/clip"}
        },
        "references": {"val": dict.fromkeys(ids[4::5], "1" * 64)},
        "versions": {"torch": "2.15.0", "timm": "1.0.31"},
    }
    (root / "metrics/metrics_meta.json").write_text(json.dumps(meta))
    return root


def _write(path: Path, header: str, rows: Iterable[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def _scene(
    side: int, ground: tuple[int, ...], toy: tuple[int, ...], spot: tuple[float, float], blur: float
) -> Image.Image:
    ramp = np.linspace(1.0, 0.7, side)[:, None, None]
    image = Image.fromarray((np.ones((side, side, 1)) * np.array(ground) * ramp).astype(np.uint8))
    draw, (x, y), r = ImageDraw.Draw(image), (spot[0] * side, spot[1] * side), 0.22 * side
    draw.ellipse((x - r, y - r, x + r, y + r), fill=toy)
    draw.ellipse((x - r * 0.6, y - 1.7 * r, x + r * 0.6, y - 0.5 * r), fill=tuple(int(c * 0.8) for c in toy))
    noise = np.random.default_rng(int(blur * 1000)).normal(0, 40 * blur, (side, side, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _colour(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(c) for c in rng.integers(70, 220, 3))


def _photos(root: Path, count: int, rng: np.random.Generator) -> list[str]:
    images, crops, captions, split, ids = [], [], [], [], []
    for folder in ("data/images", "data/crops"):
        (root / folder).mkdir(parents=True)
    private, box = PngInfo(), (60, 40, 260, 240)
    private.add_text("Author", SENTINEL)
    for n in range(count):
        name = f"IMG_{4630 + n}-{hashlib.sha256(str(n).encode()).hexdigest()[:8]}"
        group = ids[n - 1] if n in (3, 9) else name
        photo = _scene(400, _colour(rng), RED, (0.5, 0.55), 0.1).resize((400, 300) if n % 3 else (300, 400))
        photo.save(root / f"data/images/{name}.png", pnginfo=private)
        photo.crop(box).resize((128, 128)).save(root / f"data/crops/{name}.png", pnginfo=private)
        (root / "data/crops/masks").mkdir(exist_ok=True)
        mask = Image.new("L", (128, 128))
        ImageDraw.Draw(mask).ellipse((30, 30, 98, 98), fill=255)
        mask.save(root / f"data/crops/masks/{name}.png")
        images.append((name, f"IMG_{4630 + n}.HEIC", "ok", "", *photo.size, 123.456 + n, group))
        crops.append((name, *box, 0.64, "salient", 0.31, "enlarged 2.4 times, over 2.0" if n == 1 else ""))
        captions.append((name, f"a photo of sksToy toy on a chair & table {n}", "user" if n == 2 else "blip", "raw"))
        split.append((name, group, "val" if n % 5 == 4 else "train"))
        ids.append(name)
    images.append(("broken-00000000", "IMG_9999.HEIC", "refused", "truncated: 3 of 12 tiles are missing", 0, 0, "", ""))
    _write(root / "data/images/images.csv", "image_id,source,status,reason,width,height,sharpness,group", images)
    pairs = [(ids[n - 1], ids[n], n == 9, n == 3) for n in (3, 9) if n < count]
    _write(root / "data/images/near_duplicates.csv", "first,second,burst,mirrored", pairs)
    _write(root / "data/crops/crops.csv", "image_id,left,top,right,bottom,scale,cropper,subject_share,warning", crops)
    _write(root / "data/captions.csv", "image_id,caption,source,raw", captions)
    _write(root / "data/split.csv", "image_id,group,split", split)
    return ids


def _images(variants: Iterable[str]) -> list[tuple[str, str, str, str, str, int]]:
    test = [(f"test-{n:02d}", "test", GROUPS[n // 5], place) for n, place in enumerate(PLACES)]
    prompts = [(f"dev-{n}", "dev", GROUPS[n], place) for n, place in enumerate(PLACES[:4])] + test
    return [(variant, *prompt, seed) for variant in variants for prompt in prompts for seed in SEEDS]


def _samples(root: Path, rng: np.random.Generator) -> None:
    rows = []
    grounds = {place: _colour(rng) for place in PLACES}
    for variant, prompt_id, which, group, place, seed in _images(VARIANTS):
        toy, subject, blur = BLUE, "toy", 0.3
        if variant != "base":
            toy, subject, blur = RED, "sksToy toy", 90 / int(variant[-6:])
        path = f"{variant}/{prompt_id}/{seed}.png"
        (root / "data/samples" / path).parent.mkdir(parents=True, exist_ok=True)
        _scene(96, grounds[place], toy, (0.35 + 0.3 * seed, 0.55), blur).save(root / "data/samples" / path)
        rows.append((variant, prompt_id, which, group, f"a {subject} {place}", f"a toy {place}", seed, path, "b" * 64))
    header = "variant,prompt_id,set,group,prompt,prompt_plain,seed,path,sha256"
    _write(root / "data/samples/manifest.csv", header, rows)


def _value(variant: str, metric: str, rng: np.random.Generator) -> float:
    # likeness grows with training and prompt fidelity falls, so that step 200 is the one to select
    step = 0 if variant == "base" else int(variant[-6:])
    level = {
        "dino": 0.32 + 0.0011 * step - 0.0000005 * step**2,
        "clip_i": 0.62 + 0.0007 * step,
        "clip_t": 0.312 - 0.00000036 * step**2,
        "div_lpips": 0.68 - 0.0005 * step,
        "nn_train": 0.4 + 0.001 * step,
    }
    return float(level[metric] + rng.normal(0, 0.004))


def _scores(root: Path, rng: np.random.Generator) -> None:
    rows = []
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for variant, prompt_id, which, group, _, seed in _images(VARIANTS):
        for metric in METRICS:
            value = round(_value(variant, metric, rng), 6)
            references = "val" if metric in ("dino", "clip_i") else "none"
            rows.append((variant, prompt_id, which, group, seed, metric, references, value, ""))
            found.setdefault((variant, which), {}).setdefault(metric, []).append(value)
    subject_only = (f"step-{SELECTED:06d}", "subject-only", "subject-only", "subject-only")
    rows += [(*subject_only, seed, "nn_train", "none", 0.6 + 0.01 * seed, "") for seed in range(8)]
    rows.append(("real", "held-out", "none", "none", 0, "dino", "train", 0.764321, ""))
    rows += [("real", "held-out", "none", "none", n, "nn_train", "none", 0.58 + 0.01 * n, "") for n in range(3)]
    _write(root / "metrics/scores.csv", "variant,prompt_id,set,group,seed,metric,references,value,reason", rows)
    test = {
        variant: {metric: round(float(np.mean(values)), 6) for metric, values in found[variant, "test"].items()}
        for variant in VARIANTS
    }
    metrics = {
        "run": {**test[f"step-{SELECTED:06d}"], "dino_train": 0.583417},
        "base": {**test["base"], "dino_train": 0.310012},
        "real": {"dino": 0.764321, "clip_i": 0.881234, "div_lpips": 0.612345},
        "copy": {"dino": 0.781256, "clip_i": 0.890001, "clip_t": 0.251111},
        "checkpoints": {variant: {**test[variant], "dino_train": 0.6} for variant in VARIANTS[1:]},
        "against_base": {"dino": {"mean": 0.2, "low": 0.15, "high": 0.25}},
        "copying": {"nn_train_p95": 0.61, "share_over_real": 0.125, "meehan_z": -2.25},
        "selected_step": SELECTED,
        "counts": {"images_per_variant": 48, "scored": {"clip_t": 192, "dino": 193}, "val_photos": 2},
    }
    (root / "metrics/details.json").write_text(json.dumps(metrics))


# test images of the selected checkpoint that show no face
FACELESS = (("test-17", 0), ("test-17", 1), ("test-18", 0))
REAL_LEVEL = 0.46


def add_identity(root: Path, faceless: Iterable[tuple[str, int]] = FACELESS) -> Path:
    """Adds what `metrics=faces` measures; base has a face in every image but those of prompt test-19."""
    rng, missing = np.random.default_rng(1), set(faceless)
    with (root / "metrics/scores.csv").open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for variant, prompt_id, which, group, _, seed in _images(VARIANTS):
            hidden = prompt_id == "test-19" if variant == "base" else (prompt_id, seed) in missing
            value = round(float(rng.normal(0.1 if variant == "base" else 0.4, 0.06)), 6)
            head = (variant, prompt_id, which, group, seed)
            writer.writerow((*head, "face_rate", "none", float(not hidden), ""))
            writer.writerow((*head, "id_sim_all", "val", 0.0 if hidden else value, ""))
            writer.writerow((*head, "id_sim_detected", "val", "" if hidden else value, "no face" if hidden else ""))
    metrics = json.loads((root / "metrics/details.json").read_text())
    metrics["real"]["id_sim_detected_leave_one_out"] = REAL_LEVEL
    (root / "metrics/details.json").write_text(json.dumps(metrics))
    return root


def _training(root: Path, rng: np.random.Generator) -> None:
    steps = np.arange(1, STEPS[-1] + 1)
    loss = 0.12 + 0.1 / (1 + steps / 40) + abs(rng.normal(0, 0.03, len(steps)))
    norms = [level + abs(rng.normal(0, level / 3, len(steps))) for level in (0.5, 0.2)]
    rates = [1e-4 * np.minimum(steps / 20, 1), np.full(len(steps), 1e-5)]
    header = "step,loss,lr_unet,lr_text_encoder,grad_norm_unet,grad_norm_text_encoder"
    _write(root / "metrics/train/loss.csv", header, zip(steps, loss, *rates, *norms, strict=True))
    held_out = [(s, 0.14 + 0.08 / (1 + s / 60), 0.15 + 0.08 / (1 + s / 60)) for s in range(0, STEPS[-1] + 1, 25)]
    _write(root / "metrics/train/val_loss.csv", "step,val_loss,val_loss_unet_only", held_out)
    for step in STEPS:
        folder = root / f"models/adapter/step-{step:06d}"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"rank: 16\nstep: {step}\nbase: /srv/models/sd15\n")
