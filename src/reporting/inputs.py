"""Reads what the other stages wrote. What is missing is named together with the stage that makes it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from src.core import layout
from src.core.errors import EmptyDatasetError
from src.core.files import sha256_file
from src.metrics.quantities import Quantities

HASHED = (
    *(layout.PARAMS, layout.DETAILS, layout.SCORES, layout.LOSS, layout.MANIFEST),
    *(layout.IMAGE_TABLE, layout.PAIR_TABLE, layout.CROP_TABLE, layout.CAPTIONS, layout.SPLIT),
)


@dataclass(frozen=True)
class Inputs:
    """Everything the report shows, as read from disk; table cells are text unless said otherwise.

    Attributes:
        root: The folder that holds data/, metrics/ and models/.
        metrics: details.json.
        meta: metrics_meta.json.
        scores: One row per image and metric; `value` is a float, NaN where the row has a reason instead.
        loss: The training loss per step, floats, or None of an adapter that was not trained here.
        val_loss: The held-out loss, floats, or None where it was not computed.
        tokens: How each tokenizer splits the rare token.
        nearest: The training photo that each generated image is nearest to; no rows where nn_train was not chosen.
        manifest: One row per generated image.
        images: One row per photo found in data/raw.
        pairs: One row per pair of near-duplicates.
        crops: One row per crop, numbers as floats.
        captions: One row per crop.
        split: One row per crop.
        params_text: params.yaml as it stands on disk.
        adapter_configs: The config of each kept checkpoint by the checkpoint's name.
        hashes: SHA-256 by file name.
    """

    root: Path
    metrics: dict[str, Any]
    meta: dict[str, Any]
    scores: pd.DataFrame
    loss: pd.DataFrame | None
    val_loss: pd.DataFrame | None
    tokens: pd.DataFrame
    nearest: pd.DataFrame
    manifest: pd.DataFrame
    images: pd.DataFrame
    pairs: pd.DataFrame
    crops: pd.DataFrame
    captions: pd.DataFrame
    split: pd.DataFrame
    params_text: str
    adapter_configs: dict[str, str]
    hashes: dict[str, str]

    @property
    def quantities(self) -> Quantities:
        """What the numbers mean."""
        return Quantities.of(self.meta)

    @property
    def run_variant(self) -> str:
        """The selected checkpoint's name in the tables, for example ``step-000300``."""
        return str(self.meta["selected"])

    @property
    def selected_step(self) -> int:
        """The selected checkpoint's step."""
        return int(self.metrics["selected_step"])


def read_inputs(root: Path, trained: bool = True) -> Inputs:
    """Reads and checks every table.

    Args:
        root: The folder that holds data/, metrics/, models/ and params.yaml.
        trained: Whether the run trained its adapter, rather than judge one from elsewhere.

    Returns:
        What the report is made of.

    Raises:
        EmptyDatasetError: A required file is missing, empty or lacks a column; the message names its stage.
    """
    params = _existing(root, layout.PARAMS, "`python -m src.stages.config write`").read_text(encoding="utf-8")
    metrics = _read_json(root, layout.DETAILS, "stage evaluate", ("run", "base", "checkpoints", "selected_step"))
    adapters = sorted((root / layout.ADAPTER).glob(f"*/{layout.ADAPTER_CONFIG}"))
    val_loss = root / layout.VAL_LOSS
    return Inputs(
        root=root,
        metrics=metrics,
        meta=_read_json(root, layout.META, "stage evaluate", ("quantities", "selected")),
        scores=_scores(root),
        loss=_floats(_read_table(root, layout.LOSS, "stage train", ("step", "loss"))) if trained else None,
        val_loss=_floats(_read_table(root, layout.VAL_LOSS, "stage train", ("step", "val_loss")))
        if trained and val_loss.exists()
        else None,
        tokens=_read_table(root, layout.TOKENS, "stage caption", ()),
        nearest=_read_table(
            root, layout.NEAREST, "stage evaluate", ("variant", "prompt_id", "seed", "photo"), can_be_empty=True
        ),
        manifest=_read_table(
            root, layout.MANIFEST, "stage generate", ("variant", "prompt_id", "set", "group", "prompt", "seed", "path")
        ),
        images=_read_table(
            root, layout.IMAGE_TABLE, "stage convert", ("image_id", "source", "status", "reason", "sharpness", "group")
        ),
        pairs=_read_table(
            root, layout.PAIR_TABLE, "stage convert", ("first", "second", "burst", "mirrored"), can_be_empty=True
        ),
        crops=_read_table(
            root,
            layout.CROP_TABLE,
            "stage crop",
            ("image_id", "left", "top", "right", "bottom", "cropper", "subject_share", "warning"),
        ),
        captions=_read_table(root, layout.CAPTIONS, "stage caption", ("image_id", "caption", "source")),
        split=_read_table(root, layout.SPLIT, "stage split", ("image_id", "group", "split")),
        params_text=params,
        adapter_configs={path.parent.name: path.read_text(encoding="utf-8") for path in adapters},
        hashes={name.as_posix(): sha256_file(root / name) for name in HASHED if trained or name != layout.LOSS},
    )


def existing_image(root: Path, name: Path, stage: str) -> Path:
    """Returns the path of an image that a table names.

    Args:
        root: The project's folder.
        name: The image's path relative to it.
        stage: The stage that writes it.

    Returns:
        An existing path.

    Raises:
        EmptyDatasetError: There is no such file.
    """
    return _existing(root, name, f"stage {stage}")


def _existing(root: Path, name: Path, maker: str) -> Path:
    path = root / name
    if not path.is_file():
        raise EmptyDatasetError(f"{name} is missing; it is made by {maker}")
    return path


def _read_json(root: Path, name: Path, maker: str, keys: Sequence[str]) -> dict[str, Any]:
    value = json.loads(_existing(root, name, maker).read_text(encoding="utf-8"))
    missing = [key for key in keys if key not in value]
    if missing:
        raise EmptyDatasetError(f"{name}: no {', '.join(missing)}; it is made by {maker}")
    return dict(value)


def _read_table(root: Path, name: Path, maker: str, columns: Sequence[str], can_be_empty: bool = False) -> pd.DataFrame:
    path = _existing(root, name, maker)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except pd.errors.EmptyDataError as error:
        raise EmptyDatasetError(f"{name} is empty; it is made by {maker}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise EmptyDatasetError(f"{name}: no column {', '.join(missing)}; it is made by {maker}")
    if table.empty and not can_be_empty:
        raise EmptyDatasetError(f"{name} has no rows; it is made by {maker}")
    return table


def _floats(table: pd.DataFrame) -> pd.DataFrame:
    return table.apply(lambda column: pd.to_numeric(column.mask(column == ""))).astype({"step": int})


def _scores(root: Path) -> pd.DataFrame:
    columns = ("variant", "prompt_id", "set", "group", "seed", "metric", "references", "value", "reason")
    table = _read_table(root, layout.SCORES, "stage evaluate", columns)
    return table.assign(value=pd.to_numeric(table["value"].mask(table["value"] == "")))
