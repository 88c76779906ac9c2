"""What a picture is called: a small grammar with synonyms, true to the scene."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from src.core.errors import ConfigError
from src.core.files import sha256_bytes
from src.pretraining.captions import Captions

CLASS_WORDS: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "round ball"),
    "bear": ("bear", "teddy bear"),
    "boat": ("boat", "sailing boat"),
    "car": ("car", "toy car"),
    "chair": ("chair", "wooden chair"),
    "dog": ("dog", "puppy"),
    "duck": ("duck", "toy duck"),
    "house": ("house", "little house"),
    "lamp": ("lamp", "table lamp"),
    "mug": ("mug", "cup"),
    "mushroom": ("mushroom", "toadstool"),
    "robot": ("robot", "toy robot"),
    "rocket": ("rocket", "spaceship"),
    "tree": ("tree", "christmas tree"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson"),
    "orange": ("orange",),
    "yellow": ("yellow", "golden"),
    "green": ("green",),
    "cyan": ("cyan", "turquoise"),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
    "white": ("white",),
    "black": ("black",),
}
BACKGROUND_PHRASES: dict[str, tuple[str, ...]] = {
    "asphalt": ("on asphalt", "on the street", "on a road"),
    "bricks": ("on bricks", "on a brick floor"),
    "cloth": ("on a checkered cloth", "on a checkered tablecloth"),
    "grass": ("on grass", "in the grass", "in a meadow"),
    "marble": ("on marble", "on a marble counter"),
    "rug": ("on a striped rug", "on a striped carpet"),
    "sand": ("on sand", "on the beach", "in the desert"),
    "snow": ("in the snow", "on snow"),
    "tiles": ("on tiles", "on a tiled floor"),
    "wood": ("on a wooden table", "on a wooden floor", "on wood"),
}
STARTS = ("a photo of", "a picture of", "a photograph of", "an image of", "")
# no class name: the noun that fits every toy
ANY_TOY = "toy"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VIEWS = ("seen from the front", "seen from the side", "seen from behind", "seen from above")


class SceneCaptions:
    """Captions that the grammar writes about scenes; see Captions.

    Args:
        scenes: What is seen on each picture.
    """

    def __init__(self, scenes: list[dict[str, Any]]) -> None:
        self.scenes = scenes
        self.words = [*LETTERS, *vocabulary()]

    def text(self, row: int, seed: int) -> str:
        """Returns a caption of a picture."""
        return caption(self.scenes[row], seed)

    def showcase(self, classes: list[str], count: int) -> dict[str, list[str]]:
        """Returns texts about each class, in different colours and on different backgrounds."""
        colours, backgrounds = list(COLOUR_WORDS), list(BACKGROUND_PHRASES)
        return {
            name: [
                plain_caption(
                    name, colours[(row + item) % len(colours)], backgrounds[(2 * row + item) % len(backgrounds)]
                )
                for item in range(count)
            ]
            for row, name in enumerate(classes)
        }

    def digest(self) -> str:
        """Names the scenes."""
        return sha256_bytes(json.dumps(self.scenes, sort_keys=True).encode())


def world_scenes(captions: Captions | None) -> list[dict[str, Any]]:
    """Returns what is seen on each picture of the world.

    Args:
        captions: Of an image set.

    Returns:
        Rows of a scene table.

    Raises:
        ConfigError: They are not about pictures of the world.
    """
    if not isinstance(captions, SceneCaptions):
        raise ConfigError("train_data, val_data: expected pictures of the embedded world (src.tabletop.sources.World)")
    return captions.scenes


def caption(scene: Mapping[str, Any], seed: int) -> str:
    """Says what a picture shows; the same arguments give the same words.

    The colour, the background and the class are each left out now and then, so that a model learns to fill them in. The
    view, the distance and the light are mentioned now and then. Some captions have a word without meaning before the
    noun, so that a rare token does not disturb the model before it has been taught.

    Args:
        scene: A row of a scene table: name, colour, background, azimuth (degrees), elevation (degrees), distance,
            warmth.
        seed: Of the choice of words.

    Returns:
        Lower-case words, at most 25.
    """
    random = np.random.default_rng(seed)

    def one_of(words: tuple[str, ...]) -> str:
        return words[int(random.integers(len(words)))]

    noun = ANY_TOY if random.uniform() < 0.08 else one_of(CLASS_WORDS[scene["name"]])
    colour = "" if random.uniform() < 0.12 else one_of(COLOUR_WORDS[scene["colour"]])
    size = _size_word(float(scene["distance"])) if random.uniform() < 0.25 else ""
    rare = _nonsense(random) if random.uniform() < 0.06 else ""
    subject = " ".join(word for word in (size, colour, rare, noun) if word)
    article = "an" if subject[0] in "aeiou" else "a"
    background = "" if random.uniform() < 0.08 else one_of(BACKGROUND_PHRASES[scene["background"]])
    view = view_of(scene) if random.uniform() < 0.3 else ""
    light = _light_word(float(scene["warmth"])) if random.uniform() < 0.15 else ""
    return " ".join(part for part in (one_of(STARTS), article, subject, background, view, light) if part)


def plain_caption(name: str, colour: str, background: str) -> str:
    """Returns the caption without synonyms and asides, the words that evaluations use."""
    article = "an" if colour[0] in "aeiou" else "a"
    return f"a photo of {article} {colour} {CLASS_WORDS[name][0]} {BACKGROUND_PHRASES[background][0]}"


def description(scene: Mapping[str, Any]) -> str:
    """Returns what a captioner should say: colour, class, background and the side that is seen, without synonyms."""
    plain = plain_caption(scene["name"], scene["colour"], scene["background"]).removeprefix(f"{STARTS[0]} ")
    return f"{plain} {view_of(scene)}"


def agree(said: str, description: str) -> bool:
    """Says whether two descriptions name the same colour, class and background; the view, named last, may differ."""
    return said.split(" seen ")[0] == description.split(" seen ")[0]


def view_of(scene: Mapping[str, Any]) -> str:
    """Returns which side of the toy the camera sees."""
    if float(scene["elevation"]) > 40:
        return VIEWS[3]
    turn = abs(float(scene["azimuth"]))
    return VIEWS[0] if turn < 45 else VIEWS[2] if turn > 135 else VIEWS[1]


def vocabulary() -> list[str]:
    """Returns every word that a caption can have, sorted."""
    phrases = [*STARTS, *VIEWS, "small", "big", "a", "an", "in warm light", "in cold light", ANY_TOY]
    for table in (CLASS_WORDS, COLOUR_WORDS, BACKGROUND_PHRASES):
        phrases += [phrase for choices in table.values() for phrase in choices]
    return sorted({word for phrase in phrases for word in phrase.split()})


def _nonsense(random: np.random.Generator) -> str:
    return "".join(LETTERS[index] for index in random.integers(len(LETTERS), size=int(random.integers(3, 7))))


def _size_word(distance: float) -> str:
    return "small" if distance > 3.45 else "big" if distance < 3.1 else ""


def _light_word(warmth: float) -> str:
    return "in warm light" if warmth > 0.5 else "in cold light" if warmth < -0.1 else ""
