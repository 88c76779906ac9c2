"""A folder for each of several subjects, laid out as the project, and the graph of DVC's over all of them.

subjects/NAME holds what a person gives, raw/ and subject.yaml, and what is made of it: params.yaml, data, models,
metrics. The stages are those of dvc.yaml, run in that folder, a matrix over the names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from src.core import layout
from src.core.choices import groups
from src.core.config import composed_values, quote_overrides
from src.core.config_errors import load_plain
from src.core.digest import options
from src.core.errors import ConfigError, EmptyDatasetError
from src.core.files import has_file, write_text
from src.core.quoting import quoted
from src.core.typed import as_yaml

PIPELINE = Path("dvc.yaml")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# what subject.yaml may say: the configuration's key of each
KEYS = {"subject": "subject", "class_name": "subject.class_name", "token": "subject.token"}
# from a subject's folder to the project
UP = "../.."
# what a stage reads or writes in a folder of its own
OWN = (f"{layout.DATA}/", f"{layout.METRICS}/", f"{layout.ADAPTER}")
# links, what the last runs printed, jobs of a cluster
OF_THIS_MACHINE = (
    *(f"*/{path}" for path in (layout.RAW, f"{layout.MODELS}/", layout.WORLD_PIPELINE, layout.SUBJECT_LOG)),
    *("jobs.yaml", "*.sh", "slurm-*.txt", "*/.*.lock"),
)
HEADER = "# dvc.yaml for each subject of subjects.yaml; `python -m src.commands.subjects` writes both.\n"


@dataclass(frozen=True)
class Subject:
    """One of several subjects.

    Attributes:
        name: Of its folder, and of its stages: `train@NAME`.
        folder: Where it is.
        overrides: What its subject.yaml says, as of a command line.
    """

    name: str
    folder: Path
    overrides: tuple[str, ...]


def find_subjects(root: Path, only: Sequence[str] = ()) -> list[Subject]:
    """Lists the subjects of a project.

    Args:
        root: The project.
        only: Names; the folders of others are not looked into. Empty is all.

    Returns:
        By name.

    Raises:
        EmptyDatasetError: There is none.
        ConfigError: There is none of a name, a folder's name cannot be used, or its subject.yaml is not there or wrong.
    """
    folder = root / layout.SUBJECTS
    given = (layout.SUBJECT_RAW, layout.SUBJECT_WORDS)
    found = sorted(one for one in folder.glob("*") if any((one / path).exists() for path in given))
    if not found:
        raise EmptyDatasetError(f"{folder}: expected a folder of photos for each subject, {folder}/NAME/raw")
    if strangers := set(only) - {one.name for one in found}:
        raise ConfigError(f"{min(strangers)}: expected one of {', '.join(one.name for one in found)}")
    found = [one for one in found if not only or one.name in only]
    for one in found:
        if not NAME.fullmatch(one.name):
            raise ConfigError(f"{one}: a subject's name has letters, digits, - and _ alone, 64 at most")
    return [Subject(one.name, one, _overrides(one / layout.SUBJECT_WORDS)) for one in found]


def _overrides(path: Path) -> tuple[str, ...]:
    """Reads a subject.yaml."""
    said = load_plain(path) if has_file(path) else {}
    if unknown := sorted(set(said) - set(KEYS)):
        raise ConfigError(f"{path}: {unknown[0]}: expected one of {', '.join(KEYS)}")
    if not said.get("class_name"):
        raise ConfigError(f"{path}: expected what it is, as in `class_name: dog`")
    for key, value in said.items():
        if not isinstance(value, str) or value.strip() in ("", "???"):
            raise ConfigError(f"{path}: {key}: {value}: expected a text, in quotes if it is a number")
    if "subject" in said and said["subject"] not in options("subject"):
        raise ConfigError(f"{path}: subject: {said['subject']}: expected one of {', '.join(options('subject'))}")
    return tuple(f"{KEYS[key]}={quoted(said[key].strip())}" for key in KEYS if key in said)


def overrides_of(subject: Subject, words: Sequence[str]) -> list[str]:
    """Returns what a subject's settings are composed with.

    Args:
        subject: The subject.
        words: Overrides for all; its own words win.

    Returns:
        Overrides, quoted.

    Raises:
        ConfigError: One of all says what subject.yaml says.
    """
    if own := [word for word in words if word.lstrip("+~").partition("=")[0] in KEYS.values()]:
        raise ConfigError(f"{own[0]}: differs from subject to subject: {subject.folder / layout.SUBJECT_WORDS} says it")
    chosen = [word for word in subject.overrides if word.partition("=")[0] in groups()]
    return [*chosen, *quote_overrides(words), *(word for word in subject.overrides if word not in chosen)]


def prepare(subject: Subject, words: Sequence[str], root: Path, live: bool = False) -> None:
    """Composes a subject's params.yaml, and links what its stages read of the project.

    Args:
        subject: The subject.
        words: Overrides for all; its own words win.
        root: The project.
        live: Whether it is running or about to: DVC locks the settings that it finds at a stage's end.

    Raises:
        ConfigError: It would get other settings while it is live; it has no photos; an override is wrong, or one of
            what subject.yaml says; a link's place is taken.
    """
    if not (photos := subject.folder / layout.SUBJECT_RAW).is_dir():
        raise ConfigError(f"{photos}: expected the folder of its photos (`dvc pull` brings those that DVC tracks)")
    text = as_yaml(composed_values(overrides_of(subject, words))[1])
    path = subject.folder / layout.PARAMS
    if not has_file(path) or path.read_text(encoding="utf-8") != text:
        if live:
            raise ConfigError(f"{subject.name}: its job is not done, and has other settings than these: wait for it")
        write_text(path, text)
    links = {layout.RAW: Path("..") / layout.SUBJECT_RAW, layout.WORLD_PIPELINE: Path(UP) / layout.WORLD_PIPELINE}
    for model in sorted((root / layout.MODELS).iterdir()):
        if model.is_dir() and model.name[0] != "." and model.name != layout.ADAPTER.name:
            links[layout.MODELS / model.name] = Path("..") / UP / layout.MODELS / model.name
    for link, target in links.items():
        _link(subject.folder / link, target)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        if link.exists():
            raise ConfigError(f"{link}: expected nothing here, it becomes a link to {target}; move what is there")
        link.symlink_to(target)
    elif link.readlink() != target:
        raise ConfigError(f"{link}: a link to {link.readlink()}, expected {target}; delete it")


def stages(root: Path) -> dict[str, dict[str, Any]]:
    """Returns the stages of dvc.yaml, by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((root / PIPELINE).read_text(encoding="utf-8"))["stages"]
    return found


def stages_until(last: str, root: Path) -> list[str]:
    """Returns what runs up to a stage, in the order of dvc.yaml, which names none before what it reads.

    Args:
        last: The stage.
        root: The project.

    Returns:
        It and those that it needs; all for the last one of dvc.yaml, as without a target.
    """
    known = stages(root)
    makers = {Path(path): name for name, stage in known.items() for path in _made_by(stage)}
    needed, pending = set[str](), [*known] if last == [*known][-1] else [last]
    while pending:
        needed.add(name := pending.pop())
        read = [path for dep in known[name]["deps"] for path in (Path(dep), *Path(dep).parents)]
        pending += {makers[path] for path in read if path in makers} - needed
    return [name for name in known if name in needed]


def _made_by(stage: dict[str, Any]) -> list[str]:
    """Returns the paths of a stage's outputs; those with options are mappings."""
    entries = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [path for entry in entries for path in ([entry] if isinstance(entry, str) else entry)]


def write_graph(subjects: Sequence[Subject], root: Path) -> None:
    """Writes subjects/dvc.yaml and the names that it is a matrix over, where they differ.

    Args:
        subjects: All of the project's.
        root: The project.
    """
    graph = {
        "vars": [layout.SUBJECT_NAMES.name],
        "stages": {name: for_each_subject(stage) for name, stage in stages(root).items()},
    }
    contents = {
        layout.SUBJECT_NAMES: HEADER + as_yaml({"subjects": [subject.name for subject in subjects]}),
        layout.SUBJECT_STAGES: HEADER + as_yaml(graph),
        layout.SUBJECTS / ".gitignore": "".join(f"/{path}\n" for path in OF_THIS_MACHINE),
    }
    for path, text in contents.items():
        if not has_file(root / path) or (root / path).read_text(encoding="utf-8") != text:
            write_text(root / path, text)


def for_each_subject(stage: dict[str, Any]) -> dict[str, Any]:
    """Turns a stage of dvc.yaml into one of each subject.

    Args:
        stage: Its entry.

    Returns:
        The entry of a matrix, which runs in the subject's folder.
    """
    command = re.sub(r"^python (\w+\.py)", rf"python {UP}/\1", stage["cmd"])
    return {
        **{"desc": stage["desc"], "matrix": {"subject": "${subjects}"}, "wdir": "${item.subject}"},
        "cmd": f"env PYTHONPATH={UP} {command}",
        "deps": [_seen_from_below(path) for path in stage["deps"]],
        **{key: stage[key] for key in ("params", "outs", "metrics", "plots") if key in stage},
    }


def _seen_from_below(path: str) -> str:
    if path == layout.RAW.as_posix():
        return layout.SUBJECT_RAW.as_posix()
    return path if path.startswith(OWN) else f"{UP}/{path}"
