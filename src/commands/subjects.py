"""Trains and measures several subjects, each in a folder of its own: `python -m src.commands.subjects [KEY=VALUE ...]`.

A subject is a folder: photos (and captions) in subjects/NAME/raw, and what it is in subjects/NAME/subject.yaml, as
`class_name: dog`; `token` and `subject` (a choice of configs/subject) if they differ from the project's. The stages of
dvc.yaml run for each; one that fails does not stop the others and stands in the table with its reason. KEY=VALUE hold
for all. `--only NAME` runs some, `--table` none, `--until crop` no later stage, and then there is no table. `--against
REVISION` compares with subjects/table.csv of another commit, subject by subject. Writes subjects/table.csv and
subjects/report.html.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from src.commands.compare import read_file
from src.commands.subject_folders import Subject, find_subjects, prepare, stages, write_graph
from src.commands.subject_results import MEASURES, ending, read_subject, why_failed
from src.commands.usage import command_line
from src.comparison.runs import EvaluatedRun
from src.core import layout
from src.core.config import load_settings
from src.core.config_errors import one_line
from src.core.errors import ConfigError, MetricError
from src.core.files import has_file
from src.metrics.quantities import Quantities
from src.reporting.comparison.samples import sample_grid
from src.reporting.comparison.subjects import HELD_OUT, describe_subjects, means_of, write_subjects
from src.reporting.pictures import SMALL_PX, Picture, thumbnail

LAST_STAGE = "report"


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
    # line by line and not at once: what a kill leaves must not be the log of an earlier run
    with (
        (subject.folder / layout.SUBJECT_LOG).open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as running,
    ):
        assert running.stdout is not None, "it is a pipe"
        for line in running.stdout:
            log.write(line)
            log.flush()
            print(line, end="", flush=True)
        log.write(ending(running.wait()))
    return running.returncode


def tell(subjects: Sequence[Subject], before: Mapping[str, Mapping[str, float]], root: Path) -> int:
    """Writes and prints the table.

    Args:
        subjects: All.
        before: Means by subject and metric of another table, or nothing.
        root: The project.

    Returns:
        How many subjects have no result.

    Raises:
        ConfigError: subjects/dvc.lock is damaged.
    """
    from src.exporting.provenance import read_lock

    lock = read_lock(root / layout.SUBJECTS).get("stages", {})
    read = [read_subject(subject, lock) for subject in subjects]
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


def run_all(subjects: Sequence[Subject], only: Sequence[str], words: Sequence[str], last: str, root: Path) -> None:
    """Prepares all subjects and runs them one after the other; one that fails stops no other.

    Args:
        subjects: All.
        only: Names of those to run; none means all.
        words: Overrides for all.
        last: The stage to end with.
        root: The project.

    Raises:
        ConfigError: As of `prepare`; nothing has run then.
    """
    for subject in subjects:
        prepare(subject, words, root)
    write_graph(subjects, root)
    for subject in subjects:
        if not only or subject.name in only:
            run_subject(subject, last, root)


def tell_failed(subjects: Sequence[Subject]) -> int:
    """Prints which subjects' last runs failed, and returns how many."""
    reasons = {subject.name: reason for subject in subjects if (reason := why_failed(subject))}
    for name, reason in reasons.items():
        print(f"{name}: {reason}")
    return len(reasons)


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
    parser.add_argument("--until", default=LAST_STAGE, metavar="STAGE", help="the last one to run")
    parser.add_argument("--against", default="", metavar="REVISION", help="with whose table.csv to compare")
    wanted = parser.parse_intermixed_args()
    subjects = find_subjects(root)
    if wanted.until not in (known := stages(root)):
        raise ConfigError(f"--until {wanted.until}: expected one of {', '.join(known)}")
    if strangers := set(wanted.only) - {subject.name for subject in subjects}:
        raise ConfigError(f"--only {min(strangers)}: expected one of {', '.join(one.name for one in subjects)}")
    if wanted.table and (wanted.words or wanted.only or wanted.until != LAST_STAGE):
        raise ConfigError("--table runs nothing, so settings, --only and --until could not act")
    measures = wanted.until in (MEASURES, LAST_STAGE)
    if wanted.against and not measures:
        raise ConfigError(f"--until {wanted.until} makes no table, so --against could not act")
    before = means_of(_earlier_table(wanted.against, root)) if wanted.against else {}
    if not wanted.table:
        run_all(subjects, wanted.only, wanted.words, wanted.until, root)
    if tell(subjects, before, root) if measures else tell_failed(subjects):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
