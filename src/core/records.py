"""Reads YAML that may come from anyone: bounded in size and depth, without aliases; of a record only scalars."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from src.core.digest import options
from src.core.errors import ConfigError

# params.yaml has 8 KB; the parser reads about 100 KB in a second
MAX_BYTES, MAX_DEPTH = 1 << 16, 24


@dataclass(frozen=True)
class _Text:
    longest: int
    may_be_null: bool = False
    may_be_missing: bool = False

    def complaint(self, value: object) -> str | None:
        if value is None and self.may_be_null:
            return None
        if not isinstance(value, str) or len(value) > self.longest or not value.isprintable():
            return f"expected a line of text of at most {self.longest} characters"
        return "expected text without ${...}" if "${" in value else None


@dataclass(frozen=True)
class _Whole:
    least: int
    most: int

    def complaint(self, value: object) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most
        return None if fits else f"expected a whole number from {self.least} to {self.most}"


@dataclass(frozen=True)
class _ModelName:
    def complaint(self, value: object) -> str | None:
        names = options("model")
        return None if value in names else f"expected one of {', '.join(names)}"


# What a checkpoint says of itself that generating with it takes over; nothing else in its config.yaml is looked at.
RECORDED: dict[str, dict[str, _Text | _Whole | _ModelName]] = {
    "model": {
        "name": _ModelName(),
        "id": _Text(1024),
        "revision": _Text(128, may_be_null=True),
        "variant": _Text(32, may_be_null=True),
        "resolution": _Whole(8, 4096),
        # of the folder's content, where `id` is only its name
        "sha256": _Text(64, may_be_missing=True),
    },
    "subject": {"token": _Text(64), "class_name": _Text(64)},
}


def read_bounded(path: Path) -> str:
    """Reads the text of a YAML file and looks at its shape.

    Args:
        path: An existing file.

    Returns:
        The text, which has no aliases: a few lines of them stand for any number of values.

    Raises:
        ConfigError: It is too large, nested too deeply, or has aliases.
        OSError: It cannot be read.
        UnicodeDecodeError: It is no text.
        yaml.YAMLError: It is no YAML.
    """
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: over {MAX_BYTES >> 10} KiB; expected a configuration")
    text, depth = data.decode("utf-8-sig"), 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ConfigError(f"{path}, line {line}: *{event.anchor}: aliases are not read; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{path}: nested over {MAX_DEPTH} levels deep")
    return text


def read_record(path: Path) -> dict[str, dict[str, str | int | None]]:
    """Reads what the config.yaml beside a checkpoint says of base model and subject; it is data, never composed.

    Args:
        path: The file.

    Returns:
        The values of `RECORDED`, by group; a group that is not there is left out.

    Raises:
        ConfigError: A value is missing or is not what it must be, or the file is no mapping.
    """
    try:
        content = yaml.safe_load(read_bounded(path))
    except (yaml.YAMLError, ValueError, OSError) as error:  # ValueError: no text, or a number of any length
        raise ConfigError(f"{path}: not a YAML file: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values")
    return {group: _checked(path, group, content[group]) for group in RECORDED if group in content}


def _checked(path: Path, group: str, found: Any) -> dict[str, str | int | None]:
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: {group}: expected a mapping")
    values: dict[str, str | int | None] = {}
    for key, kind in RECORDED[group].items():
        if key not in found:
            if isinstance(kind, _Text) and kind.may_be_missing:
                continue
            raise ConfigError(f"{path}: {group}.{key} is missing")
        if complaint := kind.complaint(found[key]):
            raise ConfigError(f"{path}: {group}.{key}={str(found[key])[:80]!r}: {complaint}")
        values[key] = found[key]
    return values
