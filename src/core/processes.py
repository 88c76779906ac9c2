"""Processes that torchrun or Accelerate started for the work of one: each does a share of it, the first writes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TypeVar

from src.core.errors import ConfigError

T = TypeVar("T")
# what torchrun, accelerate and MPI call the number of processes
SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")


def counted(environment: Mapping[str, str]) -> list[int]:
    """Returns every number of processes that an environment names."""
    return [int(environment[name]) for name in SIZES if environment.get(name, "").isdigit()]


def is_first(environment: Mapping[str, str]) -> bool:
    """Says whether this is the process that writes; one that no launcher started is."""
    return environment.get("RANK", "0") == "0"


def refuse_several(stage: str, environment: Mapping[str, str]) -> None:
    """Refuses a launcher's processes where each would do the whole work.

    Args:
        stage: What runs.
        environment: The process' environment.

    Raises:
        ConfigError: It is one of several.
    """
    if (processes := max(counted(environment), default=1)) > 1:
        raise ConfigError(f"{stage} runs in one process, and a launcher started {processes}")


@dataclass(frozen=True)
class Processes:
    """This process among those that share its work.

    Attributes:
        rank: Which one it is, from 0.
        count: How many there are.
        device: Its own, for example ``cuda:1``, where it is one of several: each has a GPU to itself.
    """

    rank: int = 0
    count: int = 1
    device: str | None = None

    def share(self, items: Sequence[T]) -> list[T]:
        """Returns the items of this process: every `count`-th."""
        return list(items[self.rank :: self.count])

    def gather(self, share: Sequence[T]) -> list[T]:
        """Puts the results of all processes together.

        Args:
            share: One for each item of `share`, in its order.

        Returns:
            One for each item, in the order before it was shared, in every process.
        """
        if self.count == 1:
            return list(share)
        from accelerate.utils import gather_object

        parts = gather_object([list(share)])
        every: list[T] = [part[row] for row in range(len(parts[0])) for part in parts if row < len(part)]
        return every

    def wait(self) -> None:
        """Waits until every process has come here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


ALONE = Processes()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Joins the processes that a launcher started; all but the first print errors alone.

    Args:
        device: The kind of device, for example ``cuda``; of several GPUs each process takes its own.

    Yields:
        This process among them.
    """
    if max(counted(os.environ), default=1) == 1:
        yield ALONE
        return
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu")
    with nullcontext() if state.is_main_process else redirect_stdout(StringIO()):
        yield Processes(state.process_index, state.num_processes, str(state.device))
    state.destroy_process_group()
