"""A project whose photos and captions have planted faults, and what stands in for the networks that look at them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageFilter

from src.features.store import open_rgb
from tests.reporting.project import make_project

PHOTOS = 14
# the numbers of the photos with planted faults
BLUE, SOFT, TINY, UNSURE = 5, 6, 7, 8


class ColourModel:
    """Describes a picture by the mean colour of what is not grey."""

    name, title = "colours", "the colours"

    def load(self, device):
        assert device == "cpu"
        return self

    def prepare(self, image):
        pixels = np.asarray(image, dtype=np.float32).reshape(-1, 3)
        coloured = pixels[np.abs(pixels - 128).max(axis=1) > 3]
        return torch.tensor(coloured.mean(axis=0)) - 128

    def embed_images(self, batch):
        return batch


class Faces:
    """Finds as many faces in a crop as `counts` says of it, all of one person but those of `stranger`."""

    def __init__(self, counts, stranger=""):
        self.counts, self.stranger = counts, stranger

    def load(self, device):
        assert device == "cpu"
        return self

    def faces(self, file):
        open_rgb(file.path)
        unit = np.eye(128)[int(file.path.stem == self.stranger)]
        return [unit] * self.counts.get(file.path.stem, 1)


def edit(path: Path, row: int, **values: str) -> None:
    """Sets cells of a table's row."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column, value in values.items():
        table.loc[row, column] = value
    table.to_csv(path, index=False)


def photo_ids(root: Path) -> list[str]:
    return list(pd.read_csv(root / "data/crops/crops.csv", dtype=str)["image_id"])


def make_good_project(root: Path) -> Path:
    """Photos of one red subject on textured ground, sharp, of a good size, with captions of their own."""
    make_project(root, photos=PHOTOS)
    for number, image in enumerate(photo_ids(root)):
        path = root / f"data/crops/{image}.png"
        rough = np.random.default_rng(number).normal(0, 25, (128, 128, 1))
        Image.fromarray(np.clip(np.asarray(Image.open(path)) + rough, 0, 255).astype(np.uint8)).save(path)
        edit(root / "data/crops/crops.csv", number, warning="")
        edit(root / "data/captions.csv", number, caption=f"a photo of sksToy toy {words(number)}")
    return root


def words(number: int) -> str:
    """Says where, and something that no other photo has."""
    return f"on a {('table', 'bed', 'chair', 'shelf')[number % 4]} {chr(97 + number) * 3}"


def plant_faults(root: Path) -> Path:
    """Plants a subject of another colour, a blurred one, a tiny one, an enlarged and doubtful one, and two captions."""
    ids = photo_ids(root)
    crop = root / f"data/crops/{ids[BLUE]}.png"
    red, green, blue = open_rgb(crop).split()
    Image.merge("RGB", (blue, green, red)).save(crop)
    crop = root / f"data/crops/{ids[SOFT]}.png"
    open_rgb(crop).filter(ImageFilter.GaussianBlur(3)).save(crop)
    edit(root / "data/crops/crops.csv", TINY, subject_share="0.02")
    edit(root / "data/crops/crops.csv", UNSURE, scale="3.1", warning="several things stand out; enlarged 3.10 times")
    edit(root / "data/captions.csv", 0, caption="a photo of sksToy toy")
    edit(root / "data/captions.csv", 1, caption=f"a photo of sksToy toy {words(2)}")
    return root


def shown_sources(page: str, kind: str) -> set[str]:
    """Lists the photos that a part of the page shows."""
    part = re.search(rf'<section id="{kind}">(.*?)</section>', page, re.DOTALL)
    return set() if part is None else set(re.findall(r'class="file">([^<]+)<', part[1]))
