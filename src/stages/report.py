"""Builds the page that people look at before they read numbers.

Reads what the earlier stages wrote under data/, metrics/ and models/adapter, and params.yaml; writes
metrics/report.html, one self-contained file, report.md with the same tables, and figures/ with the numbers of every
chart as CSV.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.core import layout
from src.core.app import run_stage
from src.core.settings import Settings
from src.reporting.page import build_report
from src.reporting.sections.summary import RunFacts


def run_facts(params: Settings) -> RunFacts:
    """Picks what the page says about the run."""
    return RunFacts(
        title=params.report.title,
        model_name=params.model.name,
        model_id=params.model.id,
        token=params.subject.token,
        class_name=params.subject.class_name,
        method=method_name(params.method),
        lr=params.lr,
        rank=params.rank,
        seed=params.seed,
        steps=params.train.steps,
        batch_size=params.train.batch_size,
        sampling_steps=params.validation_args.num_inference_steps,
        guidance_scale=params.validation_args.guidance_scale,
        clip_t_margin=params.evaluate.select_clip_t_margin,
        margins=params.evaluate.margins,
    )


def method_name(method: Mapping[str, Any]) -> str:
    """Names a method by its class, and DoRA by what sets it apart from LoRA."""
    if "use_dora" in method:
        return "DoRA" if method["use_dora"] else "LoRA"
    return str(method["_target_"]).rsplit(".", 1)[-1].removesuffix("Method")


def main() -> None:
    """Builds the report of the project in the working directory."""
    run_stage(
        "report",
        lambda params: build_report(Path(), layout.REPORT, run_facts(params), params.report.language),
        writes=layout.REPORT,
    )


if __name__ == "__main__":
    main()
