"""DVC's remotes as its configuration names them; read without DVC, so that a stage starts fast."""

import configparser
import re
from pathlib import Path

CONFIGS = (Path(".dvc/config"), Path(".dvc/config.local"))
SECTION = re.compile(r"'?remote \"(?P<name>[^\"]+)\"'?")
REFERENCE = "remote://"


def unverified_remotes(root: Path) -> list[str]:
    """Lists the remotes whose objects DVC would take without comparing them with their hash.

    Args:
        root: The repository.

    Returns:
        Their names, sorted.
    """
    remotes = _read(root)
    return sorted(name for name in remotes if not _verifies(remotes, name, set()))


def _read(root: Path) -> dict[str, dict[str, str]]:
    remotes: dict[str, dict[str, str]] = {}
    for file in CONFIGS:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read(root / file, encoding="utf-8")
        for section in parser.sections():
            if match := SECTION.fullmatch(section):
                remotes.setdefault(match["name"], {}).update(parser[section])
    return remotes


def _verifies(remotes: dict[str, dict[str, str]], name: str, seen: set[str]) -> bool:
    settings = remotes.get(name, {})
    if "verify" in settings:
        return settings["verify"].strip().lower() in ("true", "yes", "on", "1")
    url = settings.get("url", "")
    if not url.startswith(REFERENCE) or name in seen:
        return False
    return _verifies(remotes, url.removeprefix(REFERENCE).split("/")[0], seen | {name})
