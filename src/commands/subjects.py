"""Trains and measures several subjects, each in a folder of its own: `python -m src.commands.subjects [KEY=VALUE ...]`.

A subject is a folder: photos (and captions) in subjects/NAME/raw, and what it is in subjects/NAME/subject.yaml, as
`class_name: dog`; `token` and `subject` (a choice of configs/subject) if they differ from the project's. The stages of
dvc.yaml run for each; one that fails does not stop the others and stands in the table with its reason. KEY=VALUE hold
for all. `--only NAME` runs some, `--table` none, `--until crop` no later stage, and then there is no table. `--against
REVISION` compares with subjects/table.csv of another commit, subject by subject. `--slurm FILE` submits a job for each
to a Slurm cluster instead, and `--status` says where they are (docs/scale.md). Writes subjects/table.csv and
subjects/report.html.
"""

import subprocess
from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from src.commands.compare import read_file
from src.commands.subject_folders import Subject, find_subjects, prepare, stages, write_graph
from src.commands.subject_jobs import check_free, describe_jobs, read_cluster, submit
from src.commands.subject_results import MEASURES, read_subject, why_failed
from src.commands.subject_run import run_subject
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


def prepare_all(subjects: Sequence[Subject], words: Sequence[str], root: Path, live: Collection[str]) -> None:
    """Lays out the folders of all subjects, and writes the graph.

    Args:
        subjects: All.
        words: Overrides for all.
        root: The project.
        live: The names of those whose jobs are not done.

    Raises:
        ConfigError: As of `prepare`.
    """
    for subject in sorted(subjects, key=lambda one: one.name not in live):  # refused before anything is written
        prepare(subject, words, root, subject.name in live)
    write_graph(subjects, root)


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
    parser.add_argument("--slurm", type=Path, metavar="FILE", help="submit jobs as this YAML file says")
    parser.add_argument("--status", action="store_true", help="of the jobs that were submitted last")
    wanted = parser.parse_intermixed_args()
    # --only takes all that follows it
    wanted.words += [word for word in wanted.only if "=" in word]
    if wanted.only and not (names := [word for word in wanted.only if "=" not in word]):
        raise ConfigError("--only: expected the name of a subject")
    wanted.only = names if wanted.only else []
    subjects = [] if wanted.status else find_subjects(root)
    _check(wanted, subjects, root)
    if wanted.status:
        print(describe_jobs(root))
        return
    measures = wanted.until in (MEASURES, LAST_STAGE)
    chosen = [subject for subject in subjects if not wanted.only or subject.name in wanted.only]
    if wanted.slurm:
        cluster = read_cluster(wanted.slurm)
        prepare_all(subjects, wanted.words, root, check_free(chosen, root))
        print(
            f"job {submit(chosen, wanted.until, cluster, measures, root)}: {len(chosen)} subjects; --status follows it"
        )
        return
    before = means_of(_earlier_table(wanted.against, root)) if wanted.against else {}
    if not wanted.table:
        prepare_all(subjects, wanted.words, root, check_free(chosen, root))
        for subject in chosen:
            run_subject(subject, wanted.until, root)
    if tell(subjects, before, root) if measures else tell_failed(subjects):
        raise SystemExit(1)


def _check(wanted: Namespace, subjects: Sequence[Subject], root: Path) -> None:
    """Refuses what cannot act."""
    if wanted.until not in (known := stages(root)):
        raise ConfigError(f"--until {wanted.until}: expected one of {', '.join(known)}")
    if strangers := set(wanted.only) - {subject.name for subject in subjects}:
        raise ConfigError(f"--only {min(strangers)}: expected one of {', '.join(one.name for one in subjects)}")
    runs = wanted.words or wanted.only or wanted.until != LAST_STAGE
    if wanted.table and (runs or wanted.slurm):
        raise ConfigError("--table runs nothing, so settings, --only, --until and --slurm could not act")
    if wanted.status and (runs or wanted.slurm or wanted.table or wanted.against):
        raise ConfigError("--status looks at the jobs that were submitted last, so nothing else could act")
    if wanted.against and (wanted.slurm or wanted.until not in (MEASURES, LAST_STAGE)):
        why = "the table is made by a job" if wanted.slurm else f"--until {wanted.until} makes no table"
        raise ConfigError(f"{why}, so --against could not act")


if __name__ == "__main__":
    main()
