"""Says which of several runs is better, and how sure that is: `python -m src.commands.compare A B [C ...]`.

Each is a DVC revision or experiment (`workspace` is what lies here), or a folder with metrics/ and params.yaml; A is
what the others are compared with. `--experiments` adds every DVC experiment of this commit. Prints a table and a
verdict for each, and writes a page with figures, parameters, and what --notes says about each run.

`A1,A2,A3 B1,B2,B3` compares two configurations instead, each trained with several seeds, by the means of their runs.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from src.commands.usage import command_line
from src.comparison.choice import choose_run
from src.comparison.runs import FILES, EvaluatedRun, parse_run
from src.comparison.spread import read_spreads
from src.comparison.verdict import compare_runs
from src.core import layout
from src.core.config_errors import one_line
from src.core.errors import ConfigError, MetricError
from src.core.files import has_file
from src.core.lock_file import check_lock
from src.reporting.comparison.markdown import ENGLISH, describe_pair, describe_settings
from src.reporting.comparison.page import Entry, Note, Notes, write_comparison
from src.reporting.comparison.samples import sample_grid
from src.reporting.comparison.text import recommendation
from src.reporting.texts import Source

SEED = 0


def read_run(name: str) -> EvaluatedRun:
    """Reads what evaluate wrote.

    Args:
        name: A folder, ``workspace``, or anything that DVC knows as a revision.

    Returns:
        The run.

    Raises:
        MetricError: There is no such run, it has not been evaluated, or a file is damaged.
    """
    return parse_run(name, {file: read_file(name, file) for file in FILES})


def read_file(name: str, file: str) -> bytes:
    """Reads a file of a run.

    Args:
        name: As of `read_run`.
        file: Its path in the project.

    Returns:
        Its content.

    Raises:
        MetricError: There is no such run, or no such file in it.
    """
    folder = Path() if name == "workspace" else Path(name)
    if folder.is_dir():
        if not has_file(folder / file):
            raise MetricError(f"{folder / file}: no such file; evaluate writes it (`dvc repro evaluate`)")
        return (folder / file).read_bytes()
    import dvc.api
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        return bytes(dvc.api.read(file, rev=name, mode="rb"))
    except (DvcException, SCMError, OSError) as error:
        raise MetricError(f"{name}: no evaluated run there: {str(error).splitlines()[0]}") from error


def list_experiments() -> list[str]:
    """Returns the names of the DVC experiments that started from this commit, sorted."""
    from dvc.repo import Repo

    with Repo() as repo:
        found = repo.experiments.ls(rev="HEAD")
    return sorted(str(name) for experiments in found.values() for name, _ in experiments)


def readable(names: Sequence[str]) -> list[str]:
    """Leaves out, with a printed line each, runs that cannot be read: one that failed does not end the comparison.

    Args:
        names: Of runs that nobody named one by one.

    Returns:
        Those that can be read.
    """
    kept = []
    for name in names:
        try:
            read_run(name)
        except MetricError as error:
            print(f"compare: left out: {error}", file=sys.stderr)
        else:
            kept.append(name)
    return kept


def read_notes(path: Path | None) -> Notes:
    """Reads what a person wrote about the experiments.

    Args:
        path: A YAML file: by run, ``hypothesis`` and ``conclusion``; under ``report`` lists ``failed``, ``ideas`` and
            ``borrowed``, the last of ``what`` and ``link``. None for nothing.

    Returns:
        The notes.

    Raises:
        MetricError: There is no such file, it has another form, or a link is no web address.
    """
    if path is None:
        return Notes({}, (), (), ())
    if not has_file(path):
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
    except ConfigError as error:
        raise MetricError(f"--notes {path}: {error}") from error
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        form = (
            "RUN: {hypothesis: ..., conclusion: ...}, report: {failed: [...], ideas: [...], borrowed: [{what, link}]}"
        )
        raise MetricError(f"--notes {path}: expected {form}: {error}") from error


def compare_all(runs: list[EvaluatedRun], notes: Mapping[str, Note]) -> list[Entry]:
    """Compares every run with the first; one that may not be compared says why and does not count as a comparison.

    Args:
        runs: The first is what the others are compared with.
        notes: By run.

    Returns:
        An entry for each run.

    Raises:
        MetricError: A note is about none of the runs, or no run may be compared with the first.
    """
    if strangers := sorted(set(notes) - {run.name for run in runs}):
        raise MetricError(f"--notes: about none of the runs: {', '.join(strangers)}")
    entries = [Entry(runs[0], None, "", notes.get(runs[0].name, Note("", "")))]
    for run in runs[1:]:
        report, refusal = None, ""
        try:
            report = compare_runs(runs[0], run, SEED)
        except MetricError as error:
            refusal = str(error)
        entries.append(Entry(run, report, refusal, notes.get(run.name, Note("", ""))))
    comparisons = sum(entry.report is not None for entry in entries)
    if not comparisons:
        raise MetricError("; ".join(entry.refusal for entry in entries[1:]))
    return [replace(entry, report=entry.report and replace(entry.report, comparisons=comparisons)) for entry in entries]


def describe_configurations(names: Sequence[str]) -> str:
    """Compares two settings by the means of their runs.

    Args:
        names: Two, each its runs with commas between.

    Returns:
        Markdown: table, verdict, scope.

    Raises:
        MetricError: There are not two, or they may not be compared.
    """
    if len(names) != 2:
        raise MetricError("several training seeds: expected A1,A2,... B1,B2,...")
    a, b = ([read_run(name) for name in side.split(",")] for side in names)
    return f"A = {names[0]}, B = {names[1]}\n\n{describe_settings(a, b)}"


def describe_series(names: Sequence[str], notes: Notes, out: Path) -> str:
    """Compares runs with the first and writes the page.

    Args:
        names: Of the runs; the first alone is compared with itself.
        notes: What a person says about them.
        out: The page.

    Returns:
        Markdown: each comparison or why there is none, and which run to keep.

    Raises:
        MetricError: No run may be compared with the first, one is not there, or the page cannot be written.
    """
    runs = [read_run(name) for name in dict.fromkeys(names)]
    first = runs[0]
    entries = compare_all([first, *(runs[1:] or [first])], notes.runs)
    choice = choose_run(first, [(entry.run, entry.report) for entry in entries if entry.report is not None])
    known = read_spreads()
    try:
        pictures = sample_grid([entry.run for entry in entries if not entry.refusal], read_file)
        write_comparison(out, entries, notes, choice, known, pictures)
    except OSError as error:
        raise MetricError(f"--out {out}: expected a file that can be written, found: {error.strerror}") from error
    told = [
        describe_pair(first, entry.run, entry.report, known) if entry.report else f"{entry.refusal}\n"
        for entry in entries[1:]
    ]
    page = f"{out}: figures, changed parameters, checkpoints"
    return "\n".join([*told, page, recommendation(choice, first.name, ENGLISH)])


@one_line("compare")
def main() -> None:
    """Prints the comparisons and writes the page.

    Raises:
        SystemExit: No run may be compared with the first, or one is not there.
    """
    parser = command_line("compare", __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--experiments", action="store_true", help="compare every experiment of this commit too")
    parser.add_argument("--notes", type=Path, help="YAML: what a person says about the runs (docs/comparing.md)")
    parser.add_argument("--out", type=Path, default=layout.COMPARISON, help=f"the page (default: {layout.COMPARISON})")
    wanted = parser.parse_args()
    check_lock(Path())
    names = [*wanted.runs, *(readable(list_experiments()) if wanted.experiments else [])]
    if len(names) < 2:
        raise MetricError(f"expected two runs or more, found {', '.join(names)}")
    if any("," in name for name in names):
        print(describe_configurations(names))
    else:
        print(describe_series(names, read_notes(wanted.notes), wanted.out))


if __name__ == "__main__":
    main()
