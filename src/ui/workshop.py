"""What all windows of the page share, and how an error of the project becomes one line in it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from nicegui import run

from src.core.config_errors import PERSONAL, describe
from src.ui.pipeline import Pipeline
from src.ui.studio import Sheet, Studio

T = TypeVar("T")


@dataclass
class Workshop:
    """What outlives a window.

    Attributes:
        studio: Draws and keeps pictures.
        pipeline: The run.
        received: What became of dropped photos, latest first.
        doing: What the studio does now, or empty.
        sheet: The last comparison; a window that is opened anew shows it.
    """

    studio: Studio
    pipeline: Pipeline
    received: list[str] = field(default_factory=list)
    doing: str = ""
    sheet: Sheet | None = None

    def tell(self, text: str) -> None:
        """Takes down what is being done."""
        self.doing = text


async def attempt(refuse: Callable[[str], None], function: Callable[..., T], *arguments: object) -> T | None:
    """Calls a function of the project in a thread of its own, so that the page goes on.

    Args:
        refuse: Is given the one line of an error that a person can cause, or nothing before the call.
        function: The function.
        *arguments: For it.

    Returns:
        What it returns; None where it raised such an error.
    """
    refuse("")
    try:
        return await run.io_bound(function, *arguments)
    except PERSONAL as error:
        if (problem := describe(error)) is None:
            raise
        refuse(problem)
    return None
