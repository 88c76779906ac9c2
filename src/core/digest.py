"""The resolver `${configs_digest:}`: which configs/ a parameter file was composed from."""

from pathlib import Path

from omegaconf import OmegaConf

from src.core.files import sha256_bytes

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def configs_digest(folder: Path = CONFIGS) -> str:
    """Returns 12 hexadecimal digits over the names and contents of the YAML files; line ends do not count."""
    parts = [
        path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n")
        for path in sorted(folder.rglob("*.yaml"))
    ]
    return sha256_bytes(b"\0".join(parts))[:12]


def register() -> None:
    """Makes `${configs_digest:}` known to OmegaConf."""
    OmegaConf.register_new_resolver("configs_digest", configs_digest, replace=True)
