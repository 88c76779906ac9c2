"""Gives an adapter from anywhere a verdict:

`python -m src.commands.judge FILE [FILE ...] --photos FOLDER [KEY=VALUE ...]`

Each file, or folder of checkpoints, goes through the pipeline's own stages without training: the base model beside it,
held-out photos and copies of training photos as rows, intervals, copying, a report in outputs/judge/NAME. Several are
then compared. KEY=VALUE say the base model and the trigger words, as `model=sd15 subject.token=ohwx
subject.class_name=dog`, where the file does not. With `--held-out FOLDER` those photos measure and the others count as
trained on; without it a fifth of the photos measure, which the adapter may have been trained on. The same command goes
on after a kill: images are generated once.
"""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from src.commands.usage import command_line
from src.core import layout
from src.core.checkpoint_config import recorded_overrides
from src.core.config import composed_values, quote_overrides, unread_keys
from src.core.config_errors import one_line
from src.core.digest import CONFIGS
from src.core.errors import ConfigError, EmptyDatasetError
from src.core.files import has_file, replaced_folder, write_csv, write_text
from src.core.quoting import literal_path, quoted
from src.core.tables import read_table
from src.core.typed import as_yaml

if TYPE_CHECKING:
    from src.sampling.variants import Variant

STAGES = ("convert", "crop", "caption", "split", "choose", "generate", "evaluate", "report")
# what a workspace has of its own; everything else is the project's
OWN = ("data", "metrics", "models", "outputs", "logs", "src", "params.yaml", "dvc.lock")
TRAINED, HELD_OUT = "photos", "held-out"
JUDGED = layout.OUTPUTS / "judge"
ITS_OWN = ("inferencer.ckpt_dir", "inferencer.weight", "inferencer.adapters", "report.title", "train.steps")
TRIGGER = "modelspec.trigger_phrase"


@dataclass(frozen=True)
class Case:
    """One adapter.

    Attributes:
        name: What tables call it.
        source: The file or folder.
        folder: Where its stages run.
    """

    name: str
    source: Path
    folder: Path


def name_cases(sources: Sequence[Path], root: Path) -> list[Case]:
    """Gives each adapter a name and a folder.

    Args:
        sources: Files or folders.
        root: The project.

    Returns:
        The cases.

    Raises:
        ConfigError: Two would have one name.
    """
    from src.methods.foreign.opening import adapter_name

    cases = [Case(name, path, root / JUDGED / name) for path in sources for name in [adapter_name(path)]]
    names = [case.name for case in cases]
    for case in cases:
        if names.count(case.name) > 1:
            raise ConfigError(f"{case.source}: another one is called {case.name}, too; rename one of them")
    return cases


def prepare(case: Case, photos: Path, held_out: Path | None, words: Sequence[str], root: Path) -> None:
    """Fills a case's folder: photos, adapter, parameters, and links to what is the project's.

    Args:
        case: The case.
        photos: The subject's photos.
        held_out: Photos that it was not trained on, or None.
        words: Overrides.
        root: The project.

    Raises:
        ConfigError: An override is wrong, or nothing says what to write for the subject.
        EmptyDatasetError: A folder of photos is missing.
        ModelMismatchError: There is no adapter.
    """
    from src.sampling.variants import list_checkpoints

    found = list_checkpoints(case.source)
    one = len(found) == 1
    params = composed_values(_overrides(case, one, words))[1]
    (case.folder / ".dvc").mkdir(parents=True, exist_ok=True)  # a root of its own for the stages
    _link_project(case.folder, root)
    with replaced_folder(case.folder / layout.RAW) as raw:
        for name, folder in ((TRAINED, photos), (HELD_OUT, held_out)):
            if folder is not None:
                _copy_photos(folder, raw / name)
    with replaced_folder(case.folder / layout.ADAPTER) as adapters:
        for variant in found:
            _copy_checkpoint(variant, adapters / (case.name if one else variant.name))
    write_text(case.folder / layout.PARAMS, as_yaml(params))


def _overrides(case: Case, one: bool, words: Sequence[str]) -> list[str]:
    """Composes what is judged: what the adapter says of itself, then what a person says."""
    source = f"inferencer.ckpt_dir={quoted(str(case.source))}"
    said = quote_overrides([*recorded_overrides([source, *words]), *words])
    given = {word.partition("=")[0] for word in said}
    if idle := idle_settings(words, given):
        raise ConfigError(f"{idle[0]}: nothing that judges reads it, or this command sets it")
    said = [_absolute(word) for word in said]
    if "subject" not in given and not {"subject.token", "subject.class_name"} <= given:
        said = [*_trigger(case.source), *said]
    where = layout.ADAPTER / case.name if one else layout.ADAPTER
    return [
        *said,
        f"inferencer.ckpt_dir={quoted(where.as_posix())}",
        "train.steps=0",
        f"report.title={quoted(case.name)}",
    ]


def idle_settings(words: Sequence[str], given: Set[str]) -> list[str]:
    """Lists settings that would not act: what no stage reads but the report, which prints all, and what is set here.

    Args:
        words: Overrides.
        given: The keys of all that is set.

    Returns:
        Keys, sorted.
    """
    unread = [set(unread_keys(stage, words)) for stage in STAGES if stage != "report"]
    return sorted({key for key in set.intersection(*unread) if key.split(".")[0] != "report"} | given & set(ITS_OWN))


def _absolute(word: str) -> str:
    """Lets a model's folder be found from the folder of a case."""
    key = word.partition("=")[0]
    path = Path(literal_path(word)) if key in ("model.id", "model.config") else None
    return f"{key}={quoted(str(path.resolve()))}" if path is not None and path.exists() else word


def _trigger(path: Path) -> list[str]:
    """Reads the words that a file's header names; the last ones are the class noun."""
    from src.methods.files import read_tensors

    phrase = read_tensors(path.parent, path.name)[1].get(TRIGGER, "") if path.is_file() else ""
    token, _, noun = phrase.partition(" ")
    if not noun or len(phrase) > 100 or not phrase.isprintable():
        raise ConfigError(f"{path}: does not say what to write for it; add subject.token=WORD subject.class_name=NOUN")
    print(f"judge: {path.name} says that its words are {phrase!r}: token {token!r}, class noun {noun!r}")
    return [f"subject.token={quoted(token)}", f"subject.class_name={quoted(noun)}"]


def _link_project(folder: Path, root: Path) -> None:
    """Links what stages read by relative paths."""
    (folder / layout.MODELS).mkdir(exist_ok=True)
    pairs = [(path, folder / path.name) for path in root.iterdir() if path.name not in OWN and path.name[0] != "."]
    if (root / layout.MODELS).is_dir():
        pairs += [
            (path, folder / layout.MODELS / path.name)
            for path in (root / layout.MODELS).iterdir()
            if path.name != layout.ADAPTER.name
        ]
    for target, link in pairs:
        if not link.is_symlink():
            link.symlink_to(target.resolve())


def _copy_photos(folder: Path, target: Path) -> None:
    if not folder.is_dir():
        raise EmptyDatasetError(f"{folder}: expected a folder with photos")
    # a link that leaves the folder stays one, and `convert` refuses it
    shutil.copytree(folder, target, symlinks=True)


def _copy_checkpoint(variant: "Variant", target: Path) -> None:
    """Copies the files that a checkpoint is made of, and nothing else that lies beside them."""
    assert variant.folder is not None, "only base has none"
    target.mkdir()
    for name in (*variant.format.files, layout.ADAPTER_CONFIG):
        if has_file(variant.folder / name):
            shutil.copyfile(variant.folder / name, target / name)


def hold_out_folder(data: Path) -> None:
    """Writes split.csv anew: photos of the held-out folder measure, unless near-duplicates of others.

    Args:
        data: Holds images/ and split.csv.

    Raises:
        EmptyDatasetError: No photo is left to measure on.
    """
    path = data / layout.SPLIT.name
    images = read_table(data / layout.IMAGES.name / layout.IMAGE_TABLE.name, "image_id", "source")
    source = dict(zip(images["image_id"], images["source"], strict=True))
    table = pd.read_csv(path, dtype=str)
    inside = table["image_id"].map(lambda name: source[name].startswith(f"{HELD_OUT}/"))
    shared = set(table.loc[inside, "group"]) & set(table.loc[~inside, "group"])
    measures = inside & ~table["group"].isin(shared)
    if shared:
        count = int((inside & ~measures).sum())
        print(f"judge: {count} held-out photos are near-duplicates of the others and count as trained on")
    if not measures.any():
        raise EmptyDatasetError("--held-out: every photo is a near-duplicate of one that the adapter was trained on")
    write_csv(path, table.assign(split=["val" if one else "train" for one in measures]))


def run_stages(held_out: bool) -> None:
    """Runs the stages in the working directory, in one process: each would load the same libraries.

    Args:
        held_out: Whether a folder names the photos that measure.

    Raises:
        SystemExit: A stage failed; it has said why.
    """
    for stage in STAGES:
        sys.argv = [stage, "exp.config_path=params.yaml", "exp.run_dir=."]
        importlib.import_module(f"src.stages.{stage}").main()
        if stage == "split" and held_out:
            hold_out_folder(layout.DATA)


def run_apart(call: str, folder: Path, environment: dict[str, str]) -> int:
    """Calls a function of this module in a process of its own; returns its exit status."""
    command = [sys.executable, "-c", f"from src.commands import judge; judge.{call}"]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def judge(case: Case, held_out: bool, root: Path) -> None:
    """Runs the stages of a case.

    Args:
        case: What `prepare` has prepared.
        held_out: Whether a folder names the photos that measure.
        root: The project, whose caches are used.

    Raises:
        SystemExit: A stage failed; it has said why.
    """
    environment = {**os.environ, "DVC_ROOT": str(root.resolve()), "PYTHONPATH": str(CONFIGS.parent)}
    if status := run_apart(f"run_stages({held_out})", case.folder, environment):
        raise SystemExit(status)
    print(f"judge: {case.source}: {case.folder / layout.REPORT}")


def compare(cases: Sequence[Case], root: Path) -> int:
    """Compares several; returns the exit status of the command that does it."""
    folders = [str(case.folder) for case in cases]
    return subprocess.run([sys.executable, "-m", "src.commands.compare", *folders], cwd=root, check=False).returncode


@one_line("judge")
def main() -> None:
    """Judges what the command line names.

    Raises:
        SystemExit: Something is wrong with a file, the photos or an override.
    """
    parser = command_line("judge", __doc__)
    parser.add_argument("adapters", nargs="+", metavar="FILE | KEY=VALUE", help="adapters, and overrides for all")
    parser.add_argument("--photos", type=Path, required=True, help="a folder with photos of the subject")
    parser.add_argument("--held-out", type=Path, help="photos of it that no adapter was trained on")
    wanted = parser.parse_intermixed_args()
    words = [word for word in wanted.adapters if "=" in word and not Path(word).exists()]
    sources = [Path(word) for word in wanted.adapters if word not in words]
    if not sources:
        parser.error("expected a file or a folder of checkpoints")
    root = Path()
    cases = name_cases(sources, root)
    for case in cases:
        prepare(case, wanted.photos, wanted.held_out, words, root)
    for case in cases:
        judge(case, wanted.held_out is not None, root)
    if len(cases) > 1:
        raise SystemExit(compare(cases, root))


if __name__ == "__main__":
    main()
