"""Trains and measures several subjects, each in a folder of its own: `python -m src.commands.subjects [KEY=VALUE ...]`.

A subject is a folder: photos (and captions) in subjects/NAME/raw, and what it is in subjects/NAME/subject.yaml, as
`class_name: dog`; `token` and `subject` (a choice of configs/subject) if they differ from the project's. The stages of
dvc.yaml run for each; one that fails does not stop the others and stands in the table with its reason. KEY=VALUE hold
for all. `--only NAME` runs some, `--table` none, `--until crop` no later stage. `--against REVISION` compares with
subjects/table.csv of another commit, subject by subject. Writes subjects/table.csv and subjects/report.html.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from src.commands.compare import read_file, read_run
from src.commands.subject_folders import Subject, find_subjects, prepare, stages, write_graph
from src.commands.usage import command_line
from src.comparison.runs import EvaluatedRun
from src.comparison.subjects import SubjectResult, subject_result
from src.core import layout
from src.core.config import load_settings
from src.core.config_errors import one_line
from src.core.errors import ConfigError, MetricError
from src.core.files import has_file, write_text
from src.metrics.quantities import Quantities
from src.reporting.comparison.samples import sample_grid
from src.reporting.comparison.subjects import HELD_OUT, describe_subjects, means_of, write_subjects
from src.reporting.pictures import SMALL_PX, Picture, thumbnail

LAST_STAGE = "report"
# what DVC ends with when a stage failed; what the stage said stands above it
FAILED = re.compile(r"^ERROR: failed to reproduce '.*:(\w+)@[^']+'", re.M)
NOT_RUN = "not run yet"
MAX_REASON = 300


def run_subject(subject: Subject, last: str, root: Path) -> int:
    """Runs what of a subject's stages is not up to date, and keeps what they print.

    Args:
        subject: Prepared.
        last: The stage to end with.
        root: The project.

    Returns:
        DVC's exit status.
    """
    target = f"{layout.SUBJECT_STAGES}:{last}@{subject.name}"
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", target]
    printed: list[str] = []
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        assert running.stdout is not None, "it is a pipe"
        for line in running.stdout:
            printed.append(line)
            print(line, end="", flush=True)
    write_text(subject.folder / layout.SUBJECT_LOG, "".join(printed))
    return running.returncode


def why_failed(subject: Subject) -> str:
    """Returns why a subject's last run failed, as a line; empty where it did not."""
    log = subject.folder / layout.SUBJECT_LOG
    if not has_file(log):
        return NOT_RUN
    text = log.read_text(encoding="utf-8")
    if not (failed := FAILED.search(text)):
        lines = [line for line in text.splitlines() if line.startswith("ERROR: ")]
        return lines[-1] if lines else ""
    _, said, reason = f"\n{text[: failed.start()]}".rpartition(f"\n{failed[1]}: ")
    return f"{failed[1]}: {' '.join(reason.split())[:MAX_REASON]}" if said else f"{failed[1]}: failed, see {log}"


def read_subject(subject: Subject) -> tuple[SubjectResult, EvaluatedRun | None]:
    """Reads what a subject came to, or why it did not."""
    reason = why_failed(subject)
    if not reason:
        try:
            run = read_run(str(subject.folder))
            return subject_result(subject.name, run), run
        except MetricError as error:
            reason = str(error)
    return SubjectResult(subject.name, "", {}, {}, reason), None


def tell(subjects: Sequence[Subject], against: str, root: Path) -> int:
    """Writes and prints the table.

    Args:
        subjects: All.
        against: A revision with another table, or nothing.
        root: The project.

    Returns:
        How many subjects have no result.

    Raises:
        MetricError: There is no such table.
    """
    before = means_of(_earlier_table(against, root)) if against else {}
    read = [read_subject(subject) for subject in subjects]
    results = [result for result, _ in read]
    quantities = Quantities.of(*(run.meta for _, run in read if run is not None))
    files = root / layout.SUBJECT_TABLE, root / layout.SUBJECT_PAGE
    pictures = {result.name: subject_pictures(run) for result, run in read if run is not None}
    write_subjects(files, results, quantities, before, pictures, load_settings([]).report.language)
    print(describe_subjects(results, quantities, before))
    print(f"the page: {files[1]}")
    return sum(bool(result.reason) for result in results)


def subject_pictures(run: EvaluatedRun) -> tuple[Picture, ...]:
    """Shows a held-out photo, and a test prompt by base and adapter; what is not there is left out."""
    crops = [Path(run.name) / layout.CROPS / name for name in sorted(run.meta["references"]["val"])]
    photos = [Picture(thumbnail(crop, SMALL_PX), crop.stem, HELD_OUT, ()) for crop in crops[:1] if has_file(crop)]
    return (*photos, *(picture for row in sample_grid([run], read_file)[:1] for picture in row.pictures))


def _earlier_table(revision: str, root: Path) -> bytes:
    command = ["git", "show", f"{revision}:./{layout.SUBJECT_TABLE}"]
    shown = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if shown.returncode:
        raise MetricError(f"--against {revision}: {shown.stderr.decode(errors='replace').strip()}")
    return shown.stdout


@one_line("subjects")
def main() -> None:
    """Runs what the command line names.

    Raises:
        SystemExit: A subject has no result, or something is wrong with an override or a folder.
    """
    root = Path()
    parser = command_line("subjects", __doc__)
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings for all subjects")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run these; the table has all")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument(
        "--until", choices=stages(root), default=LAST_STAGE, metavar="STAGE", help="the last one to run"
    )
    parser.add_argument("--against", default="", metavar="REVISION", help="with whose table.csv to compare")
    wanted = parser.parse_intermixed_args()
    subjects = find_subjects(root)
    if strangers := set(wanted.only) - {subject.name for subject in subjects}:
        raise ConfigError(f"--only {min(strangers)}: expected one of {', '.join(one.name for one in subjects)}")
    if wanted.table and (wanted.words or wanted.only):
        raise ConfigError("--table runs nothing, so settings and --only could not act")
    if not wanted.table:
        for subject in subjects:
            prepare(subject, wanted.words, root)
        write_graph(subjects, root)
        for subject in subjects:
            if not wanted.only or subject.name in wanted.only:
                run_subject(subject, wanted.until, root)
    if tell(subjects, wanted.against, root):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
