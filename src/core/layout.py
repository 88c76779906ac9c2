"""Where everything lies: each path and file name of the pipeline, once. Paths are relative to the project's root.

dvc.yaml and .gitignore name the same places; `tests/structure` compares.
"""

import re
from pathlib import Path

# what a person gives
PARAMS = Path("params.yaml")
RAW = Path("data/raw")

# the guard, and what `check` leaves
CONFIG_OK, CHECK_OK = Path("data/config_ok.txt"), Path("data/check_ok.txt")
STAGE_CODE = Path("data/code")

# the data
DATA = Path("data")
IMAGES, CROPS = DATA / "images", DATA / "crops"
# where a subject is, in the folder of crops
MASKS = "masks"
IMAGE_TABLE, PAIR_TABLE, CROP_TABLE = IMAGES / "images.csv", IMAGES / "near_duplicates.csv", CROPS / "crops.csv"
CAPTIONS, SPLIT = DATA / "captions.csv", DATA / "split.csv"
CLASS_IMAGES, SAMPLES = DATA / "class_images", DATA / "samples"
MANIFEST = SAMPLES / "manifest.csv"
LOOKALIKES = DATA / "lookalikes"

# the models: what the pipeline trains, what `dvc pull` and `fetch` bring
MODELS = Path("models")
ADAPTER = MODELS / "adapter"
ADAPTER_CONFIG = "config.yaml"
CHECKPOINT_PREFIX = "step-"
CHECKPOINTS = f"{CHECKPOINT_PREFIX}*"
EMBEDDED, FETCHED_MODELS, SALIENT = MODELS / "tabletop", MODELS / "metric_models", MODELS / "u2netp"

# what was measured
METRICS = Path("metrics")
TOKENS = METRICS / "tokens.csv"
LOSS, VAL_LOSS = METRICS / "train/loss.csv", METRICS / "train/val_loss.csv"
SCORES, NEAREST, PROMPTS = METRICS / "scores.csv", METRICS / "nearest.csv", METRICS / "prompts.csv"
CHOICE = METRICS / "choice.json"
SUMMARY, DETAILS, META = METRICS / "metrics.json", METRICS / "details.json", METRICS / "metrics_meta.json"
# what is wrong with photos and captions, before anything is trained on them
DATA_PAGE, DATA_FINDINGS = METRICS / "data.html", METRICS / "data_findings.csv"
REPORT, REPORT_TEXT, FIGURES = METRICS / "report.html", METRICS / "report.md", METRICS / "figures"

# beside the graph: single runs, watching, and what only saves time
OUTPUTS = Path("outputs")
# of a person's own prompts, in exp.run_dir: no stage writes, replaces or reads them
PICTURES = Path("pictures")
# what the page keeps and drops: kept pictures, the log of its run, photos that made room for others
KEPT, UI_RUN, SET_ASIDE = OUTPUTS / "kept", OUTPUTS / "run", OUTPUTS / "set_aside"
MULTIRUN, COMPARISON = OUTPUTS / "multirun", OUTPUTS / "comparison.html"
LOGS, DVC_CHARTS, DVC_TEMPLATE = Path("logs"), Path("dvc_plots"), Path(".dvc/plots.html")
STATES, CACHE = Path(".train_state"), Path(".cache")
# the dev prompts by every checkpoint, as the choice looked at them
CHOICE_SAMPLES = CACHE / "choice"
LATENT_CACHE, SAMPLE_CACHE, WORLD_CACHE = CACHE / "latents", CACHE / "samples", CACHE / "world"
ADAPTER_CACHE = CACHE / "adapters"
SWEEPS, INCOMING = CACHE / "hydra", CACHE / "incoming"

# several subjects: a folder for each, laid out as the project, and one graph over all
SUBJECTS = Path("subjects")
# within a subject's folder: a person's photos and words; what its stages print
SUBJECT_RAW, SUBJECT_WORDS, SUBJECT_LOG = Path("raw"), Path("subject.yaml"), Path("log.txt")
SUBJECT_STAGES, SUBJECT_NAMES = SUBJECTS / "dvc.yaml", SUBJECTS / "subjects.yaml"
SUBJECT_TABLE, SUBJECT_PAGE = SUBJECTS / "table.csv", SUBJECTS / "report.html"

# a training from noise: the files of its folder
RUN_LOSS, RUN_EVALUATION, RUN_CONFIG = "loss.csv", "evaluation.csv", "config.yaml"
RUN_REPORT, RUN_REPORT_RU, RUN_TIME = "report.html", "report.ru.html", "time.json"
RUN_SAMPLES, RUN_REAL, RUN_MODEL = "samples", "real", "model"

# the embedded world's own pipeline
WORLD_PIPELINE = Path("tabletop")
WORLD_STAGES, WORLD_CODE = WORLD_PIPELINE / "dvc.yaml", WORLD_PIPELINE / "code"
WORLD = WORLD_PIPELINE / "world"
WORLD_TRAIN, WORLD_VAL, COMPOSITIONS = WORLD / "train", WORLD / "val", WORLD_PIPELINE / "compositions"
WORLD_SCORES, WORLD_DIAGNOSIS = WORLD_PIPELINE / "scores.json", WORLD_PIPELINE / "diagnosis.md"
EMBEDDED_SUMS = WORLD_PIPELINE / "models.sha256"


def run_folder(checkpoints: Path) -> Path:
    """Returns the folder of the run whose models/adapter a folder of checkpoints is."""
    return checkpoints.parents[1] if len(checkpoints.parts) > 1 else Path()


def checkpoint_name(step: int) -> str:
    """Returns what a checkpoint's folder, and its rows in every table, are called: ``step-000300``."""
    return f"{CHECKPOINT_PREFIX}{step:06d}"


def is_checkpoint_name(name: str) -> bool:
    """Says whether a checkpoint's rows can be called so: a file's or a folder's plain name, as tables print it."""
    return re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,99}", name, re.ASCII) is not None


def checkpoint_step(name: str) -> int | None:
    """Returns the step of a name that `checkpoint_name` made; None for any other, such as ``base``."""
    digits = name.removeprefix(CHECKPOINT_PREFIX)
    return int(digits) if digits != name and digits.isdigit() else None
