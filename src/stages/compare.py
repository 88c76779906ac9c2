"""Says which of several runs is better, and how sure that is: `python -m src.stages.compare A B [C ...]`.

Each is a DVC revision or experiment (`workspace` is what lies here), or a folder with metrics/ and params.yaml; A is
what the others are compared with. `--experiments` adds every DVC experiment of this commit. Prints a table and a
verdict for each, and writes a page with figures, parameters, and what --notes says about each run.

`A1,A2,A3 B1,B2,B3` compares two configurations instead, each trained with several seeds, by the means of their runs.
"""

import argparse
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from src.core.config import load_config
from src.core.errors import MetricError, PipelineError
from src.metrics.comparison import PRIMARIES, EvaluatedRun, Report, compare_configurations, compare_runs
from src.metrics.statistics import Verdict
from src.reporting.comparison_page import Entry, Note, Notes, write_comparison
from src.reporting.scoring import arrow
from src.reporting.sources import Source

FILES = ("metrics/scores.csv", "metrics/metrics_meta.json", "params.yaml")
SEED = 0
OUT = Path("outputs/comparison.html")
MEANING = {
    Verdict.BETTER: "B is better than A",
    Verdict.WORSE: "B is worse than A",
    Verdict.TRADE_OFF: "B gained in one primary metric and lost in another",
    Verdict.EQUIVALENT: "no difference that matters: every interval lies within its margin",
    Verdict.INCONCLUSIVE: "cannot tell: a primary interval reaches beyond its margin; more prompts narrow it",
}
# as docs/metrics.md says it; a console may lack arrows
BETTER = {"↑": "up", "↓": "down", "": ""}
SCOPE_OF_MEANS = "This compares the two CONFIGURATIONS on these photos and prompts."
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


def list_experiments() -> list[str]:
    """Returns the names of the DVC experiments that started from this commit, sorted."""
    from dvc.repo import Repo

    with Repo() as repo:
        found = repo.experiments.ls(rev="HEAD")
    return sorted(str(name) for experiments in found.values() for name, _ in experiments)


def read_notes(path: Path | None) -> Notes:
    """Reads what a person wrote about the experiments.

    Args:
        path: A YAML file: by run, ``hypothesis`` and ``conclusion``; under ``report`` lists ``failed``, ``ideas`` and
            ``borrowed``, the last of ``what`` and ``link``. None for nothing.

    Returns:
        The notes.

    Raises:
        MetricError: There is no such file, or it has another form.
    """
    if path is None:
        return Notes({}, (), (), ())
    if not path.is_file():
        raise MetricError(f"--notes {path}: no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        lists: dict[str, list[Any]] = {"failed": [], "ideas": [], "borrowed": [], **content.pop("report", {})}
        runs = {
            str(name): Note(str(note.pop("hypothesis", "")), str(note.pop("conclusion", "")), **note)
            for name, note in content.items()
        }
        borrowed = tuple(Source(**source) for source in lists.pop("borrowed"))
        return Notes(runs, **{name: tuple(map(str, lines)) for name, lines in lists.items()}, borrowed=borrowed)
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        form = (
            "RUN: {hypothesis: ..., conclusion: ...}, report: {failed: [...], ideas: [...], borrowed: [{what, link}]}"
        )
        raise MetricError(f"--notes {path}: expected {form}: {error}") from error


def compare_all(runs: list[EvaluatedRun], notes: Mapping[str, Note], margins: Mapping[str, float]) -> list[Entry]:
    """Compares every run with the first; one that may not be compared says why.

    Args:
        runs: The first is what the others are compared with.
        notes: By run.
        margins: Of the primary metrics.

    Returns:
        An entry for each run.

    Raises:
        MetricError: A note is about none of the runs.
    """
    if strangers := sorted(set(notes) - {run.name for run in runs}):
        raise MetricError(f"--notes: about none of the runs: {', '.join(strangers)}")
    entries = []
    for index, run in enumerate(runs):
        report, refusal = None, ""
        if index:
            try:
                report = compare_runs(runs[0], run, margins, SEED)
            except MetricError as error:
                refusal = str(error)
        entries.append(Entry(run, report, refusal, notes.get(run.name, Note("", ""))))
    return entries


def describe(sides: str, report: Report, margins: Mapping[str, float], basis: str, scope: str) -> str:
    """Returns a comparison as Markdown: table, verdict, scope."""
    lines = [
        sides,
        "",
        "| metric | better | B - A | 95 % interval | p | detectable | margin |",
        "|---|---|---|---|---|---|---|",
    ]
    order = [name for name in PRIMARIES if name in report.metrics]
    for name in [*order, *(name for name in report.metrics if name not in order)]:
        found = report.metrics[name]
        margin = f"{margins[name]:g}" if name in order else "descriptive"
        lines.append(
            f"| {name} | {BETTER[arrow(name)]} | {found.interval.mean:+.4f} "
            f"| {found.interval.low:+.4f} to {found.interval.high:+.4f} "
            f"| {found.p:.4f} | {found.detectable:.4f} | {margin} |"
        )
    return "\n".join([*lines, "", basis, "", f"**{report.verdict.value}**: {MEANING[report.verdict]}.", "", scope, ""])


def describe_pair(a: EvaluatedRun, b: EvaluatedRun, report: Report, margins: Mapping[str, float]) -> str:
    """Returns the comparison of two runs."""
    sides = f"A = {a.name} ({a.meta['selected']}), B = {b.name} ({b.meta['selected']})"
    some = next(iter(report.metrics.values()))
    kind = "Student's, since there are few prompts" if some.few_prompts else "a bootstrap over prompts, then seeds"
    dropped = sum(report.dropped.values())
    basis = f"{some.prompts} test prompts; the interval is {kind}; {dropped} pairs without a value left out."
    return describe(sides, report, margins, basis, SCOPE)


def describe_configurations(names: Sequence[str], margins: Mapping[str, float]) -> str:
    """Compares two configurations by the means of their runs.

    Args:
        names: Two, each its runs with commas between.
        margins: Of the primary metrics.

    Returns:
        Markdown: table, verdict, scope.

    Raises:
        MetricError: There are not two, or they may not be compared.
    """
    if len(names) != 2:
        raise MetricError("several training seeds: expected A1,A2,... B1,B2,...")
    a, b = ([read_run(name) for name in side.split(",")] for side in names)
    report = compare_configurations(a, b, margins)
    basis = f"{len(a)} and {len(b)} training runs; a run's mean over the test prompts is one observation (Welch's t)."
    return describe(f"A = {names[0]}, B = {names[1]}", report, margins, basis, SCOPE_OF_MEANS)


def main() -> None:
    """Prints the comparisons and writes the page.

    Raises:
        SystemExit: Two runs may not be compared, or one is not there.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--experiments", action="store_true", help="compare every experiment of this commit too")
    parser.add_argument("--notes", type=Path, help="YAML: what a person says about the runs (docs/comparing.md)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the page (default: {OUT})")
    wanted = parser.parse_args()
    try:
        names = [*wanted.runs, *(list_experiments() if wanted.experiments else [])]
        if len(names) < 2:
            raise MetricError(f"expected two runs or more, found {', '.join(names)}")
        params = load_config([])
        margins: dict[str, Any] = dict(params.evaluate.margins)
        if any("," in name for name in names):
            print(describe_configurations(names, margins))
            return
        runs = [read_run(name) for name in dict.fromkeys(names)] if len(set(names)) > 1 else [read_run(names[0])] * 2
        notes = read_notes(wanted.notes)
        entries = compare_all(runs, notes.runs, margins)
        if len(entries) == 2 and entries[1].refusal:
            raise MetricError(entries[1].refusal)
        write_comparison(
            wanted.out, entries, notes, margins, params.evaluate.select_clip_t_margin, params.report.language
        )
    except PipelineError as error:
        print(f"compare: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    for entry in entries[1:]:
        print(describe_pair(runs[0], entry.run, entry.report, margins) if entry.report else f"{entry.refusal}\n")
    print(f"{wanted.out}: figures, changed parameters, checkpoints")


if __name__ == "__main__":
    main()
