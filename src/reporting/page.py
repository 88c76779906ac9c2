"""Puts the sections together into one self-contained page that needs no network."""

from pathlib import Path
from typing import Any

from src.core.files import write_text
from src.metrics.intervals import Interval
from src.reporting import charts
from src.reporting.comparison_charts import forest
from src.reporting.copying_page import copying_facts, likeness_histogram, nearest_pairs
from src.reporting.data_page import data_page
from src.reporting.extremes import extreme_samples
from src.reporting.figure_tables import write_figure_tables
from src.reporting.inputs import Inputs, read_inputs
from src.reporting.markdown import write_markdown
from src.reporting.metric_page import checkpoint_tables, metric_page
from src.reporting.metric_plane import metric_plane
from src.reporting.metric_tables import headline_metrics, narrowed
from src.reporting.persons_page import face_rate_chart, faceless_samples, identity_histogram
from src.reporting.prompt_charts import group_charts, prompt_heatmap
from src.reporting.provenance import describe_provenance
from src.reporting.samples import SHOWN_PROMPTS, checkpoint_strip, photo_strip, sample_rows
from src.reporting.sources import load_sources
from src.reporting.summary import RunFacts, summarise
from src.reporting.templating import render_page
from src.reporting.texts import Texts, load_texts


def build_report(root: Path, out: Path, facts: RunFacts, language: str) -> None:
    """Writes the report: the page, the same as Markdown beside it, and figures/ with the numbers of every chart.

    Args:
        root: The folder that holds data/, metrics/, models/ and params.yaml.
        out: The HTML file to write, in a folder beside data/.
        facts: What was run.
        language: The language of the page.

    Raises:
        ConfigError: There are no texts in that language.
        EmptyDatasetError: Something to report on is missing; the message names it and the stage that makes it.
    """
    texts = load_texts(language)
    inputs = read_inputs(root)
    sections = {**_pictures(inputs, texts), **_figures(inputs, facts, texts)}
    summary = summarise(inputs, facts, texts)
    page = render_page(
        "report.html.j2",
        title=facts.title,
        texts=texts,
        facts=facts,
        inputs=inputs,
        label=inputs.quantities.label,
        summary=summary,
        provenance=describe_provenance(inputs),
        sources=load_sources(texts.language),
        **sections,
    )
    write_figure_tables(out.with_name("figures"), sections["specs"])
    write_markdown(out.with_suffix(".md"), inputs, facts, summary, sections, texts)
    write_text(out, page)


def _pictures(inputs: Inputs, texts: Texts) -> dict[str, Any]:
    return {
        "rows": sample_rows(inputs, texts),
        "shown_prompts": SHOWN_PROMPTS,
        "held_out": photo_strip(inputs, "val"),
        "training": photo_strip(inputs, "train"),
        "strip": checkpoint_strip(inputs),
        "nearest": nearest_pairs(inputs),
        "faceless": faceless_samples(inputs),
        "extremes": extreme_samples(inputs),
        "data": data_page(inputs, texts),
    }


def _figures(inputs: Inputs, facts: RunFacts, texts: Texts) -> dict[str, Any]:
    curves = _curves(inputs, texts)
    groups = group_charts(inputs, texts)
    plane = metric_plane(inputs)
    gained = {metric: Interval(**values) for metric, values in inputs.metrics.get("against_base", {}).items()}
    title = texts("axis.difference")
    others = {
        "scatter": plane and plane.spec,
        "forest": forest({texts("series.run"): gained}, facts.margins, title, inputs.quantities) if gained else None,
        "heatmap": prompt_heatmap(inputs, texts),
        "memorising": charts.memorising_chart(inputs, texts),
        "likeness": likeness_histogram(inputs, texts),
        "identity": identity_histogram(inputs, texts),
        "face_rate": face_rate_chart(inputs, texts),
    }
    specs = {**curves, **others, **{f"group-{metric}": spec for metric, spec in groups.items()}}
    return {
        "metrics": metric_page(inputs, texts),
        "copying": copying_facts(inputs, texts),
        "checkpoints": checkpoint_tables(inputs),
        "narrowed": narrowed,
        "curves": curves,
        "stride": charts.thinning(len(inputs.loss)),
        "plane": plane,
        "groups": tuple(groups),
        "primaries": headline_metrics(list(groups))[:2],
        "specs": {name: spec for name, spec in specs.items() if spec is not None},
    }


def _curves(inputs: Inputs, texts: Texts) -> dict[str, Any]:
    parts = [name.removeprefix("lr_") for name in inputs.loss.columns if name.startswith("lr_")]
    held_out = {name: name for name in (f"val_loss_{part}_only" for part in parts)}
    return {
        "loss": charts.loss_chart(inputs, texts),
        "val_parts": None if inputs.val_loss is None else charts.lines_chart(inputs.val_loss, held_out, "loss", texts),
        "parts": charts.lines_chart(inputs.loss, {n: n for n in ("loss_instance", "loss_prior")}, "loss", texts)
        if "loss_prior" in inputs.loss.columns
        else None,
        "grad": charts.lines_chart(inputs.loss, {f"grad_norm_{part}": part for part in parts}, "grad", texts),
        "lr": charts.lines_chart(inputs.loss, {f"lr_{part}": part for part in parts}, "lr", texts),
    }
