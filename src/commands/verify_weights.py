"""Checks that the metric models' weights are here, whole and read rightly: `make verify-weights`, with overrides.

Every metric model that embeds images describes three made-up pictures; their cosines are compared with golden numbers
that are kept by the hash of the weights. Weights that nobody has checked yet are told apart: `--write` records their
numbers.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.commands.usage import command_line
from src.core.config import load_settings
from src.core.config_errors import one_line
from src.core.errors import ModelMismatchError
from src.core.files import write_json
from src.features.store import FeatureStore, image_file
from src.metrics.base import models_of
from src.stages.evaluate import build_metrics

GOLDEN = Path("src/features/golden.json")
SIDE = 256
TOLERANCE = 1e-3
DIGITS = 5


def pictures() -> dict[str, Image.Image]:
    """Draws a gradient, a checkerboard, and a disc on stripes: (SIDE, SIDE), the same on every machine."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    checker = ((x // 16 + y // 16) % 2 * 255)[..., None].repeat(3, axis=-1)
    stripes = np.stack([x // 8 % 2 * 200, 255 - y, np.full_like(x, 90)], axis=-1)
    disc = (x - 128) ** 2 + (y - 128) ** 2 < 70**2
    arrays = {
        "gradient": np.stack([x, y, (x + y) // 2], axis=-1),
        "checker": checker,
        "disc": np.where(disc[..., None], [220, 40, 30], stripes),
    }
    return {name: Image.fromarray(array.astype(np.uint8)) for name, array in arrays.items()}


def measure(metric_model: Any, store: FeatureStore) -> list[float]:
    """Returns the cosines of the three pairs of pictures, rounded."""
    with TemporaryDirectory() as folder:
        files = []
        for name, picture in pictures().items():
            picture.save(Path(folder) / f"{name}.png")
            files.append(image_file(Path(folder) / f"{name}.png"))
        features: NDArray[np.float64] = store.embed_images(metric_model, files)
    return [round(float(features[i] @ features[j]), DIGITS) for i, j in ((0, 1), (0, 2), (1, 2))]


def verify(overrides: list[str], golden: dict[str, list[float]]) -> tuple[list[str], dict[str, list[float]]]:
    """Measures every metric model of the chosen metrics that embeds images.

    Args:
        overrides: Of the configuration.
        golden: Cosines by the weights' hash.

    Returns:
        A line for each metric model, and the cosines of those that `golden` does not know.

    Raises:
        MissingModelError: Weights are not on this machine.
        ModelMismatchError: Weights or cosines are other than they should be.
    """
    store, lines, fresh = FeatureStore(4, "cpu"), list[str](), dict[str, list[float]]()
    for name, metric_model in models_of(build_metrics(load_settings(overrides))).items():
        metric_model.check()
        if not hasattr(store.extractor(metric_model), "embed_images"):
            lines.append(f"{name}: here; it embeds no images")
            continue
        key, found = str(metric_model.describe()["sha256"]), measure(metric_model, store)
        if key not in golden:
            fresh[key] = found
            lines.append(f"{name}: UNVERIFIED: no golden numbers for {key[:12]}; measured {found}")
        elif np.abs(np.subtract(found, golden[key])).max() > TOLERANCE:
            raise ModelMismatchError(f"{name}: measured {found}, expected {golden[key]} of weights {key[:12]}")
        else:
            lines.append(f"{name}: verified")
    return lines, fresh


@one_line("verify-weights")
def main() -> None:
    """Prints a line for each metric model.

    Raises:
        SystemExit: One is missing or not what it should be.
    """
    parser = command_line("verify_weights", __doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--write", action="store_true", help=f"record the numbers of unverified weights in {GOLDEN}")
    wanted = parser.parse_args()
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    lines, fresh = verify(wanted.overrides, golden)
    print("\n".join(lines))
    if wanted.write and fresh:
        write_json(GOLDEN, golden | fresh)


if __name__ == "__main__":
    main()
