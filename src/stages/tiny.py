"""Builds the tiny models of random weights, if the parameters name them. Reads nothing, writes models/tiny."""

from pathlib import Path

from omegaconf import DictConfig

from src.core import layout
from src.core.app import run_stage
from src.core.config import to_dict
from src.core.files import replaced_folder, write_text
from src.core.nested import flatten

SEED = 0


def build_tiny(out: Path, seed: int) -> None:
    """Builds a Stable Diffusion 1.x, a BLIP and the judges in small; the same seed gives the same bytes."""
    from src.tiny.captioner import build_captioner
    from src.tiny.diffusion import build_diffusion
    from src.tiny.judges import build_judges
    from src.tiny.words import WORDS

    with replaced_folder(out) as folder:
        build_diffusion(folder / "sd", "sd1", list(WORDS), seed)
        build_captioner(folder / "blip", seed)
        build_judges(folder / "judges", seed)


def tiny_stage(params: DictConfig) -> None:
    """Builds them in seconds, or leaves a note where they would be.

    Args:
        params: The stage's parameters.
    """
    if any(layout.TINY.as_posix() in str(value) for value in flatten(to_dict(params)).values()):
        build_tiny(layout.TINY, SEED)
        return
    with replaced_folder(layout.TINY) as folder:
        write_text(folder / "README.txt", "No parameter names models/tiny; with model=tiny they are built here.\n")


def main() -> None:
    """Runs the stage."""
    run_stage("tiny", tiny_stage, writes=layout.TINY)


if __name__ == "__main__":
    main()
