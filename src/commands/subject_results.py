"""What each subject came to: its log, what DVC has locked of its stages, and the scores that they left.

A result counts only where its last run ended well, where it was made with the settings of its params.yaml, and where
each stage has read what the one before it wrote last: otherwise a table would mix settings.
"""

import re
from collections.abc import Mapping
from typing import Any

from src.commands.compare import read_run
from src.commands.subject_folders import Subject
from src.comparison.runs import SCORES, EvaluatedRun
from src.comparison.settings import SEEDS, is_setting
from src.comparison.subjects import SubjectResult, subject_result
from src.core import layout
from src.core.errors import MetricError
from src.core.files import has_file
from src.core.lock_file import LOCK
from src.core.run_log import COUNTED, FAILED, STARTED

# the stage that writes the scores
MEASURES = "evaluate"
ENDED = re.compile(r"^subjects: dvc ended with status (-?\d+)$", re.M)
NOT_RUN, CUT = "not run yet", "its last run was cut off: run it again"
# the log of a job from its submission until it begins
SUBMITTED = "subjects: submitted\n"
NOT_BEGUN = "its job has begun no stage; if it has ended, the last subjects/slurm-*.txt says why"
TRACEBACK = "Traceback (most recent call last):"
MAX_REASON = 300


def ending(status: int) -> str:
    """Returns the line that ends a log, without which a run was cut off."""
    return f"subjects: dvc ended with status {status}\n"


def why_failed(subject: Subject) -> str:
    """Returns why a subject's last run failed, as a line; empty where it did not, or nothing is known of one."""
    log = subject.folder / layout.SUBJECT_LOG
    if not has_file(log):  # a clone has none
        return ""
    text = log.read_text(encoding="utf-8", errors="replace")
    if text == SUBMITTED:
        return NOT_BEGUN
    if not (ended := ENDED.search(text)):
        return CUT
    if ended[1] == "0":
        return ""
    if not (failed := FAILED.search(text)):
        lines = [line for line in text.splitlines() if line.startswith("ERROR: ")]
        return lines[-1] if lines else f"dvc ended with status {ended[1]}, see {log}"
    stage = failed[1].rpartition(":")[2].partition("@")[0]
    above = text[: failed.start()]
    begun = max((found.end() for found in STARTED.finditer(above)), default=0)
    return f"{stage}: {_said(stage, above[begun:]) or f'failed, see {log}'}"


def _said(stage: str, text: str) -> str:
    """Returns what a stage said when it failed, of what it printed: its message, or the last line of a traceback."""
    lines = [line for line in text.splitlines() if not COUNTED.match(line)]  # how far it is is no reason
    if TRACEBACK in lines:
        return next((line for line in reversed(lines) if line[:1].strip()), "")[:MAX_REASON]
    begins = [number for number, line in enumerate(lines) if line.startswith(f"{stage}: ")]
    reason = " ".join(lines[begins[-1] :]).removeprefix(f"{stage}: ") if begins else ""
    return " ".join(reason.split())[:MAX_REASON]


def outdated(subject: Subject, lock: Mapping[str, Any]) -> str:
    """Says why a subject's scores are not those of its params.yaml.

    Args:
        subject: The subject.
        lock: The stages of subjects/dvc.lock, as `evaluate@NAME`.

    Returns:
        A line; empty where they are.
    """
    from dvc.utils.serialize import load_yaml

    stages = {name.partition("@")[0]: entry for name, entry in lock.items() if name.endswith(f"@{subject.name}")}
    if MEASURES not in stages:
        return f"{layout.SUBJECTS / LOCK} knows no {MEASURES} of {subject.name}: run it"
    params = load_yaml(subject.folder / layout.PARAMS)
    made = {out["path"]: out.get("md5") for entry in stages.values() for out in entry.get("outs", [])}
    pending, seen = [MEASURES], set[str]()
    makers = {out["path"]: name for name, entry in stages.items() for out in entry.get("outs", [])}
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for key, value in stages[name].get("params", {}).get(layout.PARAMS.as_posix(), {}).items():
            if (is_setting(key) or key in SEEDS) and _value(params, key) != value:
                return f"its scores are of another setting ({key}): run it"
        for read in stages[name].get("deps", []):
            if read["path"] in made and made[read["path"]] != read.get("md5"):
                return f"{name} has not read the {read['path']} that is here now: run it"
            pending += [makers[read["path"]]] if read["path"] in makers else []
    return ""


def _value(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params.get(part) if isinstance(params, Mapping) else None
    return params


def read_subject(subject: Subject, lock: Mapping[str, Any]) -> tuple[SubjectResult, EvaluatedRun | None]:
    """Reads what a subject came to, or why it did not.

    Args:
        subject: The subject.
        lock: The stages of subjects/dvc.lock, as `evaluate@NAME`.

    Returns:
        Its result, and what evaluate wrote where it counts.
    """
    reason = why_failed(subject)
    if not reason and not has_file(subject.folder / SCORES) and not has_file(subject.folder / layout.SUBJECT_LOG):
        reason = NOT_RUN
    if not reason:
        try:
            run = read_run(str(subject.folder))
            if not (reason := outdated(subject, lock)):
                return subject_result(subject.name, run), run
        except MetricError as error:
            reason = " ".join(str(error).split())
    return SubjectResult(subject.name, "", {}, {}, reason), None
