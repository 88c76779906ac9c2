"""The page of one training from noise: loss, measures over steps, samples of every class, parameters; one file."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from src.core import layout
from src.core.errors import EmptyDatasetError
from src.core.files import list_files, write_text
from src.reporting.charts import Spec, lines_chart, thinning
from src.reporting.pictures import LARGE_PX, encode_all, thumbnail
from src.reporting.templating import render_page, shorten_paths
from src.reporting.texts import Texts, load_texts

# what evaluation.csv adds to a FID's name for the number of images, and the FIDs that are explained
COUNT = "_images"
FEATURES = ("fid_tabletop", "fid_inception", "fid_inception_tf1")
# the page in each language; nothing else of a training depends on one
PAGES = {"en": layout.RUN_REPORT, "ru": layout.RUN_REPORT_RU}
# samples of more classes than this are folded away
SHOWN_CLASSES = 10
MAKER = "`python train.py exp.config_path=configs/scratch/<name>.yaml`"
# the moving average looks back over about this share of the rows, which are averages themselves
SMOOTHING_SHARE = 0.02
# what is better when it is smaller; other measures of evaluation.csv (psnr, shares of right answers) are not
FALLING = ("fid", "kid", "loss", "val_loss")


@dataclass(frozen=True)
class Measure:
    """A column of evaluation.csv.

    Attributes:
        name: Its name.
        last: Its last value.
        best: Its best value.
        best_step: The first step with that value.
        arrow: Which way is better, ``↓`` or ``↑``.
    """

    name: str
    last: float
    best: float
    best_step: int
    arrow: str


@dataclass(frozen=True)
class ClassRow:
    """Samples of one class.

    Attributes:
        name: The class.
        sources: The pictures, ``data:`` addresses.
        real: Held-out images of the class; empty where none were kept.
    """

    name: str
    sources: tuple[str, ...]
    real: tuple[str, ...]


def write_pretraining_report(run_dir: Path, title: str) -> None:
    """Writes run_dir/report.html and report.ru.html, self-contained, from what the training left in `run_dir`.

    Args:
        run_dir: Holds loss.csv (``step``, ``loss`` and other losses), evaluation.csv (``step`` and measures),
            config.yaml, time.json (``minutes``, ``device``) and, where the model generates, samples/<class>/*.png;
            beside them real/<class>/*.png, held-out images.
        title: The heading.

    Raises:
        EmptyDatasetError: One of the files is missing, a table has no rows or lacks a column, or a folder of samples
            is empty.
    """
    losses, evaluations = (
        _table(run_dir / layout.RUN_LOSS, ("step", "loss")),
        _table(run_dir / layout.RUN_EVALUATION, ("step",)),
    )
    config, time = run_dir / layout.RUN_CONFIG, run_dir / layout.RUN_TIME
    for file in (config, time):
        if not file.is_file():
            raise EmptyDatasetError(f"{file} is missing; it is made by {MAKER}")
    names = [name for name in _order(evaluations) if not name.endswith(COUNT)]
    measures = [measure for name in names if (measure := _measure(evaluations, name))]
    rows = _class_rows(run_dir)
    shown: dict[str, Any] = {
        "title": title,
        "number": _number,
        "steps": int(losses["step"].iloc[-1]),
        "final_loss": float(losses["loss"].iloc[-1]),
        "time": json.loads(time.read_text(encoding="utf-8")),
        "measures": measures,
        "stride": thinning(len(losses)),
        "evaluations": evaluations,
        "rows": rows,
        "shown_classes": SHOWN_CLASSES,
        "config": shorten_paths(config.read_text(encoding="utf-8")),
    }
    for language, name in PAGES.items():
        texts = load_texts(language)
        shown["fids"] = [said for name in FEATURES if (said := _fid_sentence(evaluations, name, texts))]
        specs = _loss_specs(losses, texts)
        specs |= {f"measure-{m.name}": _measure_spec(evaluations, m.name, texts) for m in measures}
        parts = [part for part in _parts(losses) if f"part-{part}" in specs]
        write_text(run_dir / name, render_page("pretraining.html.j2", texts=texts, specs=specs, parts=parts, **shown))


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise EmptyDatasetError(f"{path} is missing; it is made by {MAKER}")
    try:
        table = pd.read_csv(path, encoding="utf-8")
    except pd.errors.EmptyDataError as error:
        raise EmptyDatasetError(f"{path} is empty; it is made by {MAKER}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise EmptyDatasetError(f"{path}: no column {', '.join(missing)}; it is made by {MAKER}")
    if table.empty:
        raise EmptyDatasetError(f"{path} has no rows; it is made by {MAKER}")
    return table


def _order(evaluations: pd.DataFrame) -> list[str]:
    """FID first: it is what runs are compared by."""
    names = [str(name) for name in evaluations.columns if name != "step"]
    return sorted(names, key=lambda name: (not name.startswith("fid"), names.index(name)))


def _measure(evaluations: pd.DataFrame, name: str) -> Measure | None:
    column = evaluations[["step", name]].dropna()
    if column.empty:
        return None
    falls = name.startswith(FALLING)
    place = int(column[name].argmin() if falls else column[name].argmax())
    return Measure(
        name=name,
        last=float(column[name].iloc[-1]),
        best=float(column[name].iloc[place]),
        best_step=int(column["step"].iloc[place]),
        arrow="↓" if falls else "↑",
    )


def _fid_sentence(evaluations: pd.DataFrame, name: str, texts: Texts) -> str:
    """Says whose features a FID compares, of how many images, and what two halves of the real ones have."""
    if not {name, f"{name}_floor", f"{name}{COUNT}"} <= set(evaluations.columns):
        return ""
    last = evaluations.dropna(subset=[name]).iloc[-1]
    count = int(last[f"{name}{COUNT}"])
    figures = {"count": count, "half": count // 2, "floor": _number(float(last[f"{name}_floor"]))}
    return f"{name}: {texts(f'pretraining.{name}')} {texts('pretraining.fid_floor', **figures)}"


def _parts(losses: pd.DataFrame) -> list[str]:
    return [str(name) for name in losses.columns if name not in ("step", "loss")]


def _loss_specs(losses: pd.DataFrame, texts: Texts) -> dict[str, Spec]:
    smooth = losses["loss"].ewm(span=max(len(losses) * SMOOTHING_SHARE, 1.0)).mean()
    table = pd.DataFrame({"step": losses["step"], "loss": losses["loss"], "smooth": smooth})
    names = {"loss": texts("axis.loss"), "smooth": texts("series.smooth")}
    step, colours = texts("axis.step"), ["var(--pale)", "var(--run)"]
    specs = {"loss": _lines(table, names, step, colours)}
    if (losses["loss"] > 0).all():
        specs["loss-log"] = _lines(table, names, step, colours, {"type": "log", "nice": False})
    for name in _parts(losses):
        if losses[name].notna().any():
            specs[f"part-{name}"] = _lines(losses, {name: name}, step, ["var(--run)"])
    return specs


def _measure_spec(evaluations: pd.DataFrame, name: str, texts: Texts) -> Spec:
    colour = "var(--copy)" if name.startswith("fid") else "var(--real)"
    spec = _lines(evaluations, {name: name}, texts("axis.step"), [colour])
    spec["mark"] = {"type": "line", "strokeWidth": 2, "point": {"size": 40, "filled": True}}
    return spec


def _lines(
    table: pd.DataFrame,
    labels: Mapping[str, str],
    step: str,
    colours: list[str],
    scale: Spec | None = None,
) -> Spec:
    axis = next(iter(labels))
    words = {"axis.step": step, f"axis.{axis}": labels[axis]} | {
        f"series.{name}": label for name, label in labels.items()
    }
    # a column's name is a word as it stands, braces and all
    escaped = {key: word.replace("{", "{{").replace("}", "}}") for key, word in words.items()}
    spec = lines_chart(table, {name: name for name in labels}, axis, Texts("en", escaped))
    assert spec is not None, f"{', '.join(labels)}: the caller has seen numbers there"
    spec["encoding"]["color"]["scale"]["range"] = colours
    if len(labels) == 1:
        spec["encoding"]["color"]["legend"] = None
    if scale is not None:
        spec["encoding"]["y"]["scale"] = scale
    spec["encoding"]["y"]["axis"]["format"] = "~r"
    return spec


def _class_rows(run_dir: Path) -> list[ClassRow]:
    generated, real = (_pictures(run_dir / name) for name in (layout.RUN_SAMPLES, layout.RUN_REAL))
    return [ClassRow(name, sources, real.get(name, ())) for name, sources in generated.items()]


def _pictures(folder: Path) -> dict[str, tuple[str, ...]]:
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    files = {own.name: list_files(own, ".png") for own in folders}
    sources = iter(encode_all(lambda path: thumbnail(path, LARGE_PX), [path for own in files.values() for path in own]))
    return {name: tuple(islice(sources, len(own))) for name, own in files.items()}


def _number(value: float) -> str:
    """Returns four significant digits, without an exponent where that stays short."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10000 else f"{value:.4g}"
