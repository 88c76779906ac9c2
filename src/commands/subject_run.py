"""Runs one subject's stages where `python -m src.commands.subjects` has laid out its folder: what a job runs."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from src.commands.subject_folders import Subject, find_subjects, stages_until
from src.commands.subject_results import ending
from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.core.running import held_output


def run_subject(subject: Subject, last: str, root: Path) -> int:
    """Runs what of a subject's stages is not up to date, and keeps what they print.

    Args:
        subject: Prepared.
        last: The stage to end with.
        root: The project.

    Returns:
        DVC's exit status.
    """
    targets = [f"{layout.SUBJECT_STAGES}:{stage}@{subject.name}" for stage in stages_until(last, root)]
    # each by itself: DVC would take the embedded models, which all subjects read, for a stage to lock and to reproduce
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *targets]
    # line by line and not at once: what a kill leaves must not be the log of an earlier run
    log_file = subject.folder / layout.SUBJECT_LOG
    with (
        held_output(log_file),
        log_file.open("w", encoding="utf-8") as log,
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


@one_line("subject_run")
def main(words: Sequence[str] | None = None) -> None:
    """Runs them; the table over all subjects stays as it is.

    Args:
        words: The command line; None takes the process's own.

    Raises:
        SystemExit: With DVC's status where that is not 0.
    """
    root = Path()
    parser = command_line("subject_run", __doc__)
    parser.add_argument("name", help="of the subject")
    parser.add_argument("stage", help="the last one to run")
    wanted = parser.parse_args(words)
    [subject] = find_subjects(root, only=[wanted.name])
    if status := run_subject(subject, wanted.stage, root):
        raise SystemExit(status)


if __name__ == "__main__":
    main()
