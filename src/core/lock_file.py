"""dvc.lock, which DVC writes in place: a kill or a full disk may leave it empty or cut."""

from pathlib import Path

from src.core.errors import ConfigError

LOCK = "dvc.lock"


def check_lock(root: Path) -> None:
    """Refuses a damaged dvc.lock before DVC reads it, which says neither what it is nor what to do.

    Args:
        root: The repository.

    Raises:
        ConfigError: It is there, and empty or no YAML mapping.
    """
    path = root / LOCK
    if path.is_file() and not is_mapping(path.read_bytes()):
        raise ConfigError(f"{path} is empty or cut: `make mend` brings back the committed one")


def is_mapping(data: bytes) -> bool:
    """Says whether bytes are a YAML mapping; outside of the environment, without a parser, whether there are any."""
    if not data.strip() or b"\0" in data:
        return False
    try:
        import yaml
    except ImportError:
        return True
    try:
        return isinstance(yaml.safe_load(data), dict)
    except yaml.YAMLError:
        return False
