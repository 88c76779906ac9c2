"""Builds the tiny models of random weights. Reads nothing, writes models/tiny/{sd,blip,judges}."""

from pathlib import Path

from src.core.files import replaced_folder
from src.tiny.captioner import build_captioner
from src.tiny.diffusion import build_diffusion
from src.tiny.judges import build_judges
from src.tiny.words import WORDS

OUT = Path("models/tiny")
SEED = 0


def build_tiny(out: Path, seed: int) -> None:
    """Builds a Stable Diffusion 1.x, a BLIP and the judges in small; the same seed gives the same bytes."""
    with replaced_folder(out) as folder:
        build_diffusion(folder / "sd", "sd1", list(WORDS), seed)
        build_captioner(folder / "blip", seed)
        build_judges(folder / "judges", seed)


def main() -> None:
    """Builds them in seconds."""
    build_tiny(OUT, SEED)


if __name__ == "__main__":
    main()
