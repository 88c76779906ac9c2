"""Several methods at once, each on a part of its own: new words beside an adapter or beside some of the weights."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from torch import Tensor

from src.core.errors import ConfigError
from src.methods.base import AdapterFormat, Method, ParameterGroup
from src.models.base import QUANTIZED, BaseModel


class CombinedMethod:
    """Trains what each method trains, together.

    Args:
        methods: They train different parts; the first the denoiser.
    """

    def __init__(self, methods: list[Method]) -> None:
        self.methods = methods
        self.trains_text = any(method.trains_text for method in methods)
        self.needs_fp32 = any(method.needs_fp32 for method in methods)
        self.quantized_bases = tuple(k for k in QUANTIZED if all(k in method.quantized_bases for method in methods))

    def attach(self, model: BaseModel, seed: int) -> list[ParameterGroup]:
        """Attaches each; see Method."""
        groups = [group for method in self.methods for group in method.attach(model, seed)]
        names = [group.name for group in groups]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"method.methods: two of them train the {twice[0]}")
        return groups

    def only_part(self, model: BaseModel, part: str | None) -> AbstractContextManager[None]:
        """Asks each; see Method."""
        return _together([method.only_part(model, part) for method in self.methods])

    def save(self, model: BaseModel, folder: Path) -> None:
        """Writes each one's files; see Method."""
        for method in self.methods:
            method.save(model, folder)

    def start(self, model: BaseModel, folder: Path) -> None:
        """Gives each its files; see Method."""
        for method in self.methods:
            method.start(model, folder)


class CombinedFormat:
    """A folder with the files of several formats; see AdapterFormat.

    Args:
        formats: Theirs.
    """

    def __init__(self, formats: Sequence[AdapterFormat]) -> None:
        self.formats = formats
        self.files = tuple(file for entry in formats for file in entry.files)

    def check_file(self, folder: Path) -> None:
        """Reads all files; see AdapterFormat."""
        for entry in self.formats:
            entry.check_file(folder)

    def check_fit(self, model: BaseModel, folder: Path) -> None:
        """Compares all; see AdapterFormat."""
        for entry in self.formats:
            entry.check_fit(model, folder)

    def applied(self, model: BaseModel, folder: Path) -> AbstractContextManager[None]:
        """Puts all on; see AdapterFormat."""
        return _together([entry.applied(model, folder) for entry in self.formats])

    def changes(self, model: BaseModel, folder: Path) -> dict[str, Tensor]:
        """Returns those of all, which change different parts; see AdapterFormat."""
        return {name: change for entry in self.formats for name, change in entry.changes(model, folder).items()}


@contextmanager
def _together(contexts: Sequence[AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context)
        yield
