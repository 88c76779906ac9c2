"""Says which of two runs is better, and how sure that is: `python -m src.stages.compare A B`.

A and B are DVC revisions or experiments (`workspace` is what lies here), or folders with metrics/ and params.yaml.
"""

import argparse
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from src.core.config import load_config
from src.core.errors import MetricError, PipelineError
from src.metrics.comparison import PRIMARIES, EvaluatedRun, Report, compare_runs
from src.metrics.statistics import Verdict

FILES = ("metrics/scores.csv", "metrics/metrics_meta.json", "params.yaml")
SEED = 0
MEANING = {
    Verdict.BETTER: "B is better than A",
    Verdict.WORSE: "B is worse than A",
    Verdict.TRADE_OFF: "B gained in one primary metric and lost in another",
    Verdict.EQUIVALENT: "no difference that matters: every interval lies within its margin",
    Verdict.INCONCLUSIVE: "cannot tell: smaller differences than 'detectable' would not show with this prompt set",
}
SCOPE = (
    "This compares these two CHECKPOINTS. A claim about the settings behind them needs several training seeds of each "
    "(three or more), compared by run means."
)


def read_run(name: str) -> EvaluatedRun:
    """Reads what evaluate wrote.

    Args:
        name: A folder, ``workspace``, or anything that DVC knows as a revision.

    Returns:
        The run.

    Raises:
        MetricError: There is no such run, or it has not been evaluated.
    """
    texts = [_read(name, file) for file in FILES]
    scores = pd.read_csv(io.StringIO(texts[0]), dtype={"prompt_id": str, "reason": str})
    return EvaluatedRun(name, scores, json.loads(texts[1]), yaml.safe_load(texts[2]))


def _read(name: str, file: str) -> str:
    folder = Path() if name == "workspace" else Path(name)
    if folder.is_dir():
        if not (folder / file).is_file():
            raise MetricError(f"{folder / file}: no such file; evaluate writes it (`dvc repro evaluate`)")
        return (folder / file).read_text(encoding="utf-8")
    import dvc.api
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        return str(dvc.api.read(file, rev=name, encoding="utf-8"))
    except (DvcException, SCMError, OSError) as error:
        raise MetricError(f"{name}: no evaluated run there: {str(error).splitlines()[0]}") from error


def describe(a: EvaluatedRun, b: EvaluatedRun, report: Report, margins: Mapping[str, float]) -> str:
    """Returns the comparison as Markdown: table, verdict, scope."""
    lines = [
        f"A = {a.name} ({a.meta['selected']}), B = {b.name} ({b.meta['selected']})",
        "",
        "| metric | B - A | 95 % interval | p | detectable | margin |",
        "|---|---|---|---|---|---|",
    ]
    order = [name for name in PRIMARIES if name in report.metrics]
    for name in [*order, *(name for name in report.metrics if name not in order)]:
        found = report.metrics[name]
        margin = f"{margins[name]:g}" if name in order else "descriptive"
        lines.append(
            f"| {name} | {found.interval.mean:+.4f} | {found.interval.low:+.4f} to {found.interval.high:+.4f} "
            f"| {found.p:.4f} | {found.detectable:.4f} | {margin} |"
        )
    some = next(iter(report.metrics.values()))
    kind = "Student's, since there are few prompts" if some.few_prompts else "a bootstrap over prompts, then seeds"
    dropped = sum(report.dropped.values())
    lines += ["", f"{some.prompts} test prompts; the interval is {kind}; {dropped} pairs without a value left out."]
    return "\n".join([*lines, "", f"**{report.verdict.value}**: {MEANING[report.verdict]}.", "", SCOPE, ""])


def main() -> None:
    """Prints the comparison.

    Raises:
        SystemExit: The runs may not be compared, or are not there.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    names = parser.parse_args()
    try:
        margins: dict[str, Any] = dict(load_config([]).evaluate.margins)
        a, b = read_run(names.a), read_run(names.b)
        text = describe(a, b, compare_runs(a, b, margins, SEED), margins)
    except PipelineError as error:
        print(f"compare: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    print(text)


if __name__ == "__main__":
    main()
