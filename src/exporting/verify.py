"""Compares what an exported adapter says it was made of with a checkout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from src.core import layout
from src.core.nested import flatten
from src.exporting.provenance import (
    CMD,
    STAGES,
    md5_of_folder,
    packages,
    photo_hashes,
    read_lock,
    short_hash,
    stage_inputs,
)

RAW = layout.RAW.as_posix()
ADAPTER = layout.ADAPTER.as_posix()
GRAPH = "dvc.yaml"


def inputs_here(root: Path, params: Mapping[str, Any], code: Mapping[str, str]) -> dict[str, Any]:
    """Says what each stage would read in a checkout: files on disk, where they are there, and today's parameters.

    Args:
        root: The checkout.
        params: params.yaml.
        code: MD5 of which code each stage runs, by stage.

    Returns:
        As of `stage_inputs`.

    Raises:
        ConfigError: dvc.lock is damaged.
    """
    lock = read_lock(root)
    found, known, commands = stage_inputs(lock), dict[str, str](), _commands(root / GRAPH)
    for stage, inputs in found.items():
        for name, locked in inputs["files"].items():
            if name not in known:
                known[name] = _md5_here(root, name) or locked
            inputs["files"][name] = known[name]
        own = (layout.STAGE_CODE / f"{stage}.txt").as_posix()
        inputs["files"][own] = code.get(stage, inputs["files"].get(own, ""))
        declared = lock["stages"][stage].get("params", {}).get(layout.PARAMS.as_posix(), {})
        own_params = [_select(params, name) for name in declared]
        inputs["params"] = {key: short_hash(value) for part in own_params for key, value in part.items()}
        inputs["params"][CMD] = short_hash(commands.get(stage, lock["stages"][stage].get(CMD)))
    return found


def _commands(graph: Path) -> dict[str, str]:
    """Reads what each stage of dvc.yaml runs."""
    if not graph.is_file():
        return {}
    stages = yaml.safe_load(graph.read_text(encoding="utf-8"))["stages"]
    return {name: stage[CMD] for name, stage in stages.items() if CMD in stage}


def first_difference(recorded: Mapping[str, Any], root: Path, here: Mapping[str, Any]) -> str | None:
    """Names the first stage whose inputs differ.

    Args:
        recorded: From `read_provenance`.
        root: The checkout.
        here: From `inputs_here`.

    Returns:
        The stage and what differs, or None.

    Raises:
        EmptyDatasetError: The folder of photos has none.
        BadPhotoError: Two photos have the same image_id.
    """
    stages = recorded["stages"]
    photos = photo_hashes(root / layout.RAW)
    same_photos = bool(photos) and photos["photos"] == recorded.get("photos")
    for stage in STAGES:
        then, now = stages.get(stage), here.get(stage)
        if then is None and now is None:
            continue
        if not isinstance(then, Mapping) or now is None:
            return f"{stage}: runs {'only here' if then is None else 'only there'}"
        for kind in ("params", "files"):
            for name in _differing(then.get(kind), now[kind]):
                if name == RAW and same_photos:
                    if stage == "convert":
                        continue
                    name = f"the captions in {RAW}"
                return f"{stage}: {_words(name)}"
    return _other_result(recorded, root, here)


def _other_result(recorded: Mapping[str, Any], root: Path, inputs: Mapping[str, Any]) -> str | None:
    """Looks at what train wrote, where all that it reads is the same."""
    wanted = recorded["stages"].get("train", {}).get("made", {}).get(ADAPTER)
    locked = inputs.get("train", {}).get("made", {}).get(ADAPTER)
    if wanted != locked:
        others = [f"{name} {had} there, {here} here" for name, had, here in _other_packages(recorded)]
        return f"train: the same inputs gave another {ADAPTER}: {', '.join(others) or 'another processor, perhaps'}"
    if (root / ADAPTER).is_dir() and md5_of_folder(root / ADAPTER) != locked:
        return f"train: {ADAPTER} is not what dvc.lock says; `dvc checkout {ADAPTER}` brings that back"
    return None


def _other_packages(recorded: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    there = recorded.get("packages")
    had = there if isinstance(there, Mapping) else {}
    return [(name, str(had.get(name))[:40], own) for name, own in packages().items() if had.get(name) != own]


def _differing(then: Any, now: Mapping[str, str]) -> list[str]:
    had = then if isinstance(then, Mapping) else {}
    return sorted(name for name in had.keys() | now.keys() if had.get(name) != now.get(name))


def _words(name: str) -> str:
    if Path(name).parent == layout.STAGE_CODE:
        return "its code, or the version of a library, differs"
    return f"{name[:200]} differs"


def _md5_here(root: Path, name: str) -> str | None:
    """Returns the MD5 of a folder on disk; else what its .dvc file says; None where neither is there."""
    if (root / name).is_dir():
        return md5_of_folder(root / name)
    pointer = root / f"{name}.dvc"
    if pointer.is_file():
        outs = (yaml.safe_load(pointer.read_text(encoding="utf-8")) or {}).get("outs") or [{}]
        return str(outs[0].get("md5"))
    return None


def _select(params: Any, name: str) -> dict[str, Any]:
    """Picks what a stage declares out of params.yaml, flat."""
    value: Any = params
    for key in name.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return {}
        value = value[key]
    return flatten({name: value})
