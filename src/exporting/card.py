"""What lies beside an exported adapter for people and tools: a card, its settings and a sheet of samples."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from src.core import layout
from src.core.files import write_bytes, write_text
from src.exporting.header import BaseKind, Subject
from src.metrics.names import BASE
from src.metrics.quantities import Quantities
from src.metrics.samples import read_samples, sample_rows
from src.reporting.markdown_text import Markdown
from src.reporting.templating import render_markdown
from src.sampling.cache import png_bytes
from src.trackers.evaluation import draw_grid

SAMPLES = 4


@dataclass(frozen=True)
class Base:
    """The base model, as a person may look for it.

    Attributes:
        name: A hub id, or what configs/model calls a folder or file.
        hub_id: The hub id; None for a folder or a file.
        digest: What its content is known by.
    """

    name: str
    hub_id: str | None
    digest: str


def write_settings(out: Path, kind: BaseKind, subject: Subject) -> Path:
    """Writes NAME.json, by which AUTOMATIC1111's web UI and InvokeAI fill in the prompt.

    Args:
        out: The adapter's file.
        kind: Of the base model.
        subject: What it learned.

    Returns:
        The file.
    """
    path = out.with_suffix(".json")
    values = {"activation text": subject.trigger, "preferred weight": 1.0, "sd version": kind.short}
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    return path


def write_samples(out: Path, root: Path, checkpoint: str) -> Path | None:
    """Writes NAME.png: a few test prompts, base model beside adapter; never a photo.

    Args:
        out: The adapter's file.
        root: The run's folder.
        checkpoint: Its name.

    Returns:
        The file; None where nothing has been generated.
    """
    if not (root / layout.MANIFEST).is_file():
        return None
    rows = sample_rows(read_samples(root / layout.SAMPLES), checkpoint)
    chosen = rows[:: max(len(rows) // SAMPLES, 1)][:SAMPLES]
    if not chosen:
        return None
    path = out.with_suffix(".png")
    write_bytes(path, png_bytes(draw_grid((BASE, out.stem), chosen)))
    return path


def write_card(out: Path, base: Base, subject: Subject, values: Mapping[str, Any], measured: Mapping[str, Any]) -> Path:
    """Writes NAME.md: a model card with the hub's header; the licence is left to the person.

    Args:
        out: The adapter's file.
        base: The base model.
        subject: What it learned.
        values: ``method``, ``layout`` and ``weights``.
        measured: From `measured_figures`; empty where nothing was measured.

    Returns:
        The file.
    """
    front = {
        **({"base_model": base.hub_id, "base_model_relation": "adapter"} if base.hub_id else {}),
        "library_name": "diffusers",
        "instance_prompt": subject.trigger,
        "pipeline_tag": "text-to-image",
        "tags": ["text-to-image", "diffusers", "lora" if str(values["method"]).startswith("LoRA") else "adapter"],
    }
    path = out.with_suffix(".md")
    text = render_markdown(
        "card.md.j2",
        front=Markdown(yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip()),
        title=out.stem,
        picture=Markdown(out.with_suffix(".png").name),
        base=base.name,
        digest=base.digest,
        photos=subject.photos or "some",
        trigger=Markdown(subject.trigger),
        prompts=measured.get("prompts", 0),
        rows=measured.get("rows", ()),
        **values,
    )
    write_text(path, text)
    return path


def measured_figures(root: Path, checkpoint: str) -> dict[str, Any]:
    """Reads what evaluate found about a checkpoint.

    Args:
        root: The run's folder.
        checkpoint: Its name.

    Returns:
        ``prompts``, ``photos`` and ``rows``: mappings of name, arrow, value, base and difference with its interval;
        nothing where this checkpoint is not the one that was chosen.
    """
    files = [root / path for path in (layout.DETAILS, layout.META)]
    if not all(path.is_file() for path in files):
        return {}
    details, meta = (json.loads(path.read_text(encoding="utf-8")) for path in files)
    if meta["selected"] != checkpoint:
        return {}
    rows = [
        _row(quantity.key, quantity.higher_is_better, details, name)
        for name, quantity in Quantities.of(meta).known.items()
        if name in details["run"]
    ]
    return {"prompts": details["counts"]["test_prompts"], "photos": details["counts"]["train_photos"], "rows": rows}


def _row(key: str, higher_is_better: bool | None, details: Mapping[str, Any], name: str) -> dict[str, str]:
    against = details["against_base"].get(name)
    return {
        "name": key,
        "arrow": {True: "↑", False: "↓", None: ""}[higher_is_better],
        "value": f"{details['run'][name]:z.3f}",
        "base": f"{details['base'][name]:z.3f}" if name in details["base"] else "",
        "difference": f"{against['mean']:+z.3f} [{against['low']:+z.3f}, {against['high']:+z.3f}]" if against else "",
    }
