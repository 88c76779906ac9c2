"""Makes the sample photos that come with the project: `python -m src.stages.sample_photos`. Writes data/raw."""

from pathlib import Path

from src.data.sample_photos import write_sample_photos

OUT, COUNT, SEED = Path("data/raw"), 15, 0


def main() -> None:
    """Draws them; about a minute."""
    write_sample_photos(OUT, COUNT, SEED)


if __name__ == "__main__":
    main()
