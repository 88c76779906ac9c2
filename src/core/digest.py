"""The resolver `${configs_digest:}`: which configs/ a parameter file was composed from."""

from pathlib import Path

from omegaconf import OmegaConf

from src.core.files import sha256_bytes

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PRETRAINING = ("scratch", "pretraining.yaml")


def configs_digest(folder: Path = CONFIGS) -> str:
    """Returns 12 hexadecimal digits over the names and contents of the YAML files; line ends do not count.

    Training from noise (configs/scratch) is no part of the pipeline that params.yaml is for.
    """
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*.yaml"))]
    parts = [
        name.as_posix().encode() + b"\0" + (folder / name).read_bytes().replace(b"\r\n", b"\n")
        for name in names
        if name.parts[0] not in PRETRAINING
    ]
    return sha256_bytes(b"\0".join(parts))[:12]


def register() -> None:
    """Makes `${configs_digest:}` known to OmegaConf."""
    OmegaConf.register_new_resolver("configs_digest", configs_digest, replace=True)
