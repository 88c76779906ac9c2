"""What configs/ need to be composed: the types of the keys, and `${configs_digest:}`, which names the configs/."""

from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from src.core.files import sha256_bytes
from src.core.settings import Settings

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PRETRAINING = ("scratch", "pretraining.yaml")


def options(group: str) -> list[str]:
    """Lists the choices of a group, sorted: files of its folder, and what a program stored with Hydra."""
    stored = ConfigStore.instance().repo.get(group, {})
    return sorted({Path(name).stem for name in (*(path.name for path in (CONFIGS / group).glob("*.yaml")), *stored)})


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
    """Makes the types known to Hydra, where configs/config.yaml names them, and `${configs_digest:}` to OmegaConf."""
    ConfigStore.instance().store("schema", Settings)
    OmegaConf.register_new_resolver("configs_digest", configs_digest, replace=True)
