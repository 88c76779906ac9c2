"""Draws what the page asks for, base and adapters side by side with the same seeds, and scores it; models stay loaded.

All of it is `src.api`, which draws as inference.py does.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core import layout
from src.core.errors import ConfigError, StateLockedError
from src.core.running import held_output
from src.metrics.names import BASE

if TYPE_CHECKING:
    from src.api import Adapted
    from src.sampling.pictures import Picture

# of the pictures that a page can still show and keep; those of an earlier drawing go first
MAX_PICTURES = 400
NO_PHOTOS = "no scores: the pipeline has not held out photos yet, and no folder of photos is named"


@dataclass(frozen=True)
class Source:
    """An adapter and how much of it.

    Attributes:
        path: As of `inferencer.ckpt_dir`.
        weight: 1 is the whole adapter.
    """

    path: str
    weight: float


@dataclass(frozen=True)
class Wish:
    """What a page asks for.

    Attributes:
        prompt: With the rare token.
        seeds: As of `seeds`, at least one.
        sources: Each gets a column of its own.
        together: Whether there is a column with all of them on top of each other, too.
        settings: Further ones, as `Adapted.generate` takes them.
        photos: A folder to score against; empty for the photos that the pipeline held out.
    """

    prompt: str
    seeds: tuple[int, ...]
    sources: tuple[Source, ...]
    together: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    photos: str = ""


@dataclass(frozen=True)
class Shown:
    """A picture with its scores.

    Attributes:
        picture: The picture.
        scores: By name (docs/metrics.md); those that one image has.
    """

    picture: "Picture"
    scores: dict[str, float]

    @property
    def key(self) -> str:
        """What the page calls it: digits of the hash of all that decides it."""
        return self.picture.path.stem


@dataclass(frozen=True)
class Column:
    """What one model drew.

    Attributes:
        title: The model.
        prompt: What it was asked for.
        shown: By seed.
    """

    title: str
    prompt: str
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Sheet:
    """A comparison.

    Attributes:
        columns: Base first.
        note: Why there are no scores, or empty.
    """

    columns: tuple[Column, ...]
    note: str


def known_checkpoints(folder: Path = layout.ADAPTER) -> dict[str, str]:
    """Lists the pipeline's checkpoints.

    Args:
        folder: Where they are.

    Returns:
        A text for each path, the chosen one first, then the newest; nothing where the pipeline has not trained yet.
    """
    if not any(folder.glob(layout.CHECKPOINTS)):
        return {}
    chosen = None
    if layout.CHOICE.is_file():
        chosen = json.loads(layout.CHOICE.read_text(encoding="utf-8")).get("variant")
    found = sorted((path.name for path in folder.glob(layout.CHECKPOINTS)), reverse=True)
    found.sort(key=lambda name: name != chosen)
    return {str(folder / name): f"{name} (chosen)" if name == chosen else name for name in found}


class Studio:
    """Draws one comparison at a time.

    Args:
        words: Overrides for all of it, as on the command line: ``device=cpu``.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = tuple(words)
        self.pictures: dict[str, Shown] = {}
        self._busy = threading.Lock()
        self._first: Adapted | None = None

    def draw(self, wish: Wish, tell: Callable[[str], None]) -> Sheet:
        """Draws and scores.

        Args:
            wish: What is asked for.
            tell: Is told what is being done, and nothing in the end.

        Returns:
            The comparison.

        Raises:
            PipelineError: Something cannot be used, as of `Adapted.generate` and `Adapted.score`.
            StateLockedError: Another comparison is being drawn.
        """
        if not self._busy.acquire(blocking=False):
            raise StateLockedError("a comparison is being drawn already, perhaps in another window: wait for it")
        try:
            tell("loading what draws")
            return self._draw(wish, tell)
        finally:
            tell("")
            self._busy.release()

    def keep(self, key: str, folder: Path = layout.KEPT) -> Path:
        """Copies a picture with its text into a folder, beside what is there.

        Args:
            key: Of the picture.
            folder: Where to.

        Returns:
            The file; `inference.py exp.from_image=FILE` repeats it.

        Raises:
            ConfigError: There is no such picture any more.
        """
        if key not in self.pictures:
            raise ConfigError("that picture is no longer here: draw it again")
        from src.sampling.pictures import write_pictures

        with held_output(folder):
            write_pictures(folder, [self.pictures[key].picture])
        return folder / self.pictures[key].picture.path

    def _draw(self, wish: Wish, tell: Callable[[str], None]) -> Sheet:
        common = {"seeds": list(wish.seeds), **wish.settings}
        drawn: list[tuple[Adapted, str, list[Picture]]] = []
        for source in wish.sources:
            tell(f"drawing with {Path(source.path).name}")
            adapted = self._open(source.path)
            pictures = adapted.draw(wish.prompt, weight=source.weight, **common)
            drawn.append((adapted, _title(pictures, source.weight), pictures))
        if wish.together and len(wish.sources) > 1:
            tell("drawing with all of them together")
            first, *others = wish.sources
            more = [{"path": one.path, "weight": one.weight} for one in others]
            pictures = drawn[0][0].draw(wish.prompt, weight=first.weight, adapters=more, **common)
            drawn.append((drawn[0][0], "together", pictures))
        tell("drawing with the base model")
        base = drawn[0][0] if drawn else self._open(str(layout.ADAPTER))
        # it does not know the token: it is asked for the class, as in the report
        plain = drawn[0][2][0].planned.plain if drawn else base.plain(wish.prompt)
        drawn.insert(0, (base, "base model", base.draw(plain, weight=0, **common)))
        return self._score(wish, drawn, tell)

    def _open(self, path: str) -> "Adapted":
        from src.api import load  # torch takes seconds, and the page is there before it

        adapted = load(Path(path).expanduser(), *self.words, beside=self._first)
        self._first = self._first or adapted
        return adapted

    def _score(
        self, wish: Wish, drawn: Sequence[tuple["Adapted", str, list["Picture"]]], tell: Callable[[str], None]
    ) -> Sheet:
        scored = bool(wish.photos) or layout.SPLIT.is_file()
        columns = []
        for adapted, title, pictures in drawn:
            scores: list[dict[str, float]] = [{} for _ in pictures]
            if scored:
                tell(f"scoring {title}")
                photos = Path(wish.photos).expanduser() if wish.photos else None
                asked = pictures[0].planned.job.text
                table = adapted.score([picture.image for picture in pictures], photos, asked)
                scores = [
                    {str(name): float(value) for name, value in row.dropna().items()} for _, row in table.iterrows()
                ]
            shown = tuple(Shown(picture, one) for picture, one in zip(pictures, scores, strict=True))
            columns.append(Column(title, pictures[0].planned.job.text, shown))
            self._remember(shown)
        return Sheet(tuple(columns), "" if scored else NO_PHOTOS)

    def _remember(self, shown: Sequence[Shown]) -> None:
        for one in shown:
            self.pictures.pop(one.key, None)
            self.pictures[one.key] = one
        for key in list(self.pictures)[:-MAX_PICTURES]:
            del self.pictures[key]


def _title(pictures: Sequence["Picture"], weight: float) -> str:
    name = pictures[0].planned.variant.name
    return name if weight == 1 or name == BASE else f"{name}, weight {weight:g}"
