"""Keeps the places of this machine out of what is handed on: an absolute path becomes its last name."""

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from src.core.files import sha256_tree
from src.core.quoting import PATH

# what open_clip and timm have before a folder
FOLDER = "local-dir:"


def place_name(path: str, mark: str = "") -> str:
    """Returns the last name of an absolute path of any system, after ``local-dir:`` too; anything else as it is.

    Args:
        path: Perhaps one.
        mark: What to put before the name, where it was one.

    Returns:
        For example ``sd15`` for ``/srv/models/sd15``, ``C:\\models\\sd15`` and ``~/sd15``.
    """
    prefix = FOLDER if path.startswith(FOLDER) else ""
    place = path.removeprefix(prefix)
    if place.startswith(("/", "~/")):
        return prefix + mark + PurePosixPath(place).name
    windows = PureWindowsPath(place)
    return prefix + mark + windows.name if windows.is_absolute() else path


def places(params: Any, key: str = "") -> dict[str, str]:
    """Lists absolute paths among parameters, by their dotted keys; ``~/`` names nobody."""
    if isinstance(params, dict):
        return {k: v for name, item in params.items() for k, v in places(item, f"{key}.{name}".lstrip(".")).items()}
    is_place = isinstance(params, str) and PATH.fullmatch(key) and params.removeprefix(FOLDER).startswith("/")
    return {key: params} if is_place else {}


def without_places(params: dict[str, Any]) -> dict[str, Any]:
    """Replaces absolute paths in parameters by names; the base model's folder gets the hash of its content beside it.

    Args:
        params: Plain values.

    Returns:
        A copy. ``model.sha256`` is there only where ``model.id`` was an absolute path.
    """
    named: dict[str, Any] = _named(params, "")
    model = params.get("model")
    if isinstance(model, dict) and model["id"] != named["model"]["id"]:
        named["model"]["sha256"] = sha256_tree(Path(model["id"]).expanduser())
    return named


def _named(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _named(item, f"{key}.{name}".lstrip(".")) for name, item in value.items()}
    if isinstance(value, list):
        return [_named(item, key) for item in value]
    return place_name(value) if isinstance(value, str) and PATH.fullmatch(key) else value
