"""Gathers the trained models in half precision: tabletop/*/model to models/tabletop, at most 64 MB.

Says how long the training of each took, and on what.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.core.errors import ModelMismatchError
from src.core.files import replaced_folder, write_text
from src.core.weights import write_sums
from src.models.half import copy_in_half
from src.tabletop.world import IMAGES

# where each trained model goes; the decoder lies over the autoencoder that text to image was trained with
PLACES = {
    "refined": "sd",
    "decoder": "sd/vae",
    "captioner": "blip",
    "clip": "metric_models/clip",
    "dino": "metric_models/dino",
    "lpips": "metric_models/alexnet",
    "classifier": "classifier",
}
# what goes on from another training: whose configuration it has, and what stands beside that in tabletop/dvc.yaml
FURTHER = {
    "refined": ("diffusion", ", then the stage `refine` of tabletop/dvc.yaml, which is what follows"),
    "decoder": ("vae", ", then the stage `decoder` of tabletop/dvc.yaml, which is what follows"),
}
LARGEST = 64 * 10**6
CARD = """# {name}

One of the small models that come with the project. It was trained from noise by the project's own scripts, on renders
of the embedded world (src/tabletop) and on nothing else, and knows nothing but that world.

- Configuration: configs/scratch/tabletop/{configuration}.yaml{more}
- Data: {images} pictures of {side} px, tabletop/world/train
- Updates: {steps}
- Time: {minutes:z.0f} minutes on {device}
- Scores on unseen renders at the last update: {scores}
- The figures that the whole set reaches: docs/tabletop.md
"""


def publish(trained: Path, out: Path) -> int:
    """Copies the models with weights in fp16, writes a card for each, and the SHA-256 of every file.

    Args:
        trained: Where `dvc repro` in tabletop/ wrote them.
        out: Where they go.

    Returns:
        Their size, bytes.

    Raises:
        ModelMismatchError: They are larger than LARGEST together, or a model is missing.
    """
    with replaced_folder(out) as folder:
        for name, place in PLACES.items():
            source = trained / name
            if not (source / layout.RUN_MODEL).is_dir():
                raise ModelMismatchError(f"{source}/model: not trained yet; `dvc repro` in tabletop/ trains it")
            copy_in_half(source / layout.RUN_MODEL, folder / place)
            write_text(folder / place / "README.md", _card(name, source, trained))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > LARGEST:
            raise ModelMismatchError(f"{out}: {size / 1e6:z.1f} MB, expected at most {LARGEST / 1e6:z.0f} MB")
    write_sums(out, trained / layout.EMBEDDED_SUMS.name)
    return size


def _card(name: str, source: Path, trained: Path) -> str:
    evaluation = pd.read_csv(source / layout.RUN_EVALUATION).iloc[-1]
    scores = ", ".join(f"{key} {value:.4g}" for key, value in evaluation.items() if key != "step")
    images, side = np.load(
        trained / layout.WORLD_TRAIN.relative_to(layout.WORLD_PIPELINE) / IMAGES, mmap_mode="r"
    ).shape[:2]
    time = json.loads((source / layout.RUN_TIME).read_text(encoding="utf-8"))
    configuration, more = FURTHER.get(name, (name, ""))
    return CARD.format(
        name=name,
        configuration=configuration,
        more=more,
        images=images,
        side=side,
        steps=int(evaluation["step"]),
        scores=scores,
        **time,
    )


@one_line("tabletop_publish")
def main() -> None:
    """Publishes; `dvc add models/tabletop` and `dvc push` hand them out, with tabletop/models.sha256 in git."""
    command_line("tabletop_publish", __doc__).parse_args()
    size = publish(layout.WORLD_PIPELINE, layout.EMBEDDED)
    for file in sorted(layout.WORLD_PIPELINE.glob(f"*/{layout.RUN_TIME}")):
        time = json.loads(file.read_text(encoding="utf-8"))
        print(f"{file.parent.name:10} {time['minutes']:6.1f} minutes on {time['device']}")
    print(json.dumps({"folder": str(layout.EMBEDDED), "megabytes": round(size / 1e6, 1)}))


if __name__ == "__main__":
    main()
