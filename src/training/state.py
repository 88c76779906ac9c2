"""The state to resume from: one file that is replaced atomically, in a folder named after what is being trained."""

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.core.files import sha256_tree, write_text
from src.core.layout import checkpoint_name, checkpoint_step
from src.core.running import Lock, held
from src.core.sealed import read_sealed, write_sealed
from src.models.tensors import pack_tensors, unpack_tensors

STATE_FILE = "state.safetensors"
CHECKPOINTS = "checkpoints"
SEAL = ".sha256"
Row = dict[str, float]


@dataclass(frozen=True)
class SavedState:
    """Everything an interrupted run needs to go on as if nothing had happened.

    Attributes:
        step: Updates done.
        tensors: Adapter weights and optimizer moments, by full name.
        scalars: What else the optimizer and the gradient scaler remember; JSON values.
        losses: A row for each update so far.
        validations: A row for each validation so far.
    """

    step: int
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]
    losses: list[Row]
    validations: list[Row]


def resumes_at(saved: SavedState | None, steps: int) -> int:
    """Returns the update with which a training goes on; 0 for one that begins, and for one that had ended."""
    return 0 if saved is None or saved.step >= steps else saved.step


@dataclass(frozen=True)
class StateFolder:
    """Where a run keeps its state and the checkpoints made so far; outlives the run.

    Attributes:
        path: A folder named after the fingerprint of parameters, data, code and versions.
    """

    path: Path

    def load(self, own: bool = True) -> SavedState | None:
        """Reads the newest state; a line says so if it or a checkpoint is damaged.

        Args:
            own: Whether this run goes on with it: a damaged one is then deleted. Another run's is left as it is, which
                may be saving at this moment.

        Returns:
            The state, or None where there is none or it cannot be used.
        """
        data = read_sealed(self.path / STATE_FILE)
        if data is None:
            return None
        tensors, metadata = unpack_tensors(data)
        for name, digest in json.loads(metadata["checkpoints"]).items():
            folder = self.path / CHECKPOINTS / name
            if not folder.is_dir() or sha256_tree(folder) != digest:
                if not own:
                    print(f"{folder}: damaged or missing", flush=True)
                    return None
                print(f"{folder}: damaged or missing; trains anew", flush=True)
                (self.path / STATE_FILE).unlink(missing_ok=True)
                return None
        return SavedState(tensors=tensors, **json.loads(metadata["state"]))

    def save(self, state: SavedState) -> None:
        """Replaces the state, and notes the digests of the checkpoints so far."""
        files = sorted((self.path / CHECKPOINTS).glob(f"*{SEAL}"))
        # without a later one that a killed run left, which is made again
        sealed = {file.stem: file.read_text() for file in files if (checkpoint_step(file.stem) or 0) <= state.step}
        rest = {name: getattr(state, name) for name in ("step", "scalars", "losses", "validations")}
        metadata = {"state": json.dumps(rest, sort_keys=True), "checkpoints": json.dumps(sealed, sort_keys=True)}
        write_sealed(self.path / STATE_FILE, pack_tensors(state.tensors, metadata))

    def checkpoint(self, step: int) -> Path:
        """Returns the folder of the checkpoint after `step` updates."""
        return self.path / CHECKPOINTS / checkpoint_name(step)

    def seal(self, step: int) -> None:
        """Takes down the digest of a finished checkpoint."""
        folder = self.checkpoint(step)
        write_text(folder.with_name(f"{folder.name}{SEAL}"), sha256_tree(folder))

    def locked(self) -> AbstractContextManager[Lock]:
        """Keeps every other process out, which then waits; the lock dies with the process, even after kill -9."""
        return held(self.path / "lock", f"{self.path}: training with these parameters and data")


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Splits an optimizer's memory into tensors and JSON values.

    Args:
        optimizer: Any torch optimizer.

    Returns:
        The tensors by name, and the rest.
    """
    content = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for index, memory in content["state"].items():
        for key, value in memory.items():
            target = tensors if isinstance(value, Tensor) else rest
            target[f"optimizer.{index}.{key}"] = value
    groups = [{k: v for k, v in group.items() if k != "params"} for group in content["param_groups"]]
    return tensors, {"state": rest, "groups": groups}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    """Gives an optimizer the memory that pack_optimizer took down.

    Args:
        optimizer: One over the same parameters.
        tensors: May hold other tensors, too.
        rest: As returned by pack_optimizer.
    """
    content = optimizer.state_dict()
    memory: dict[int, dict[str, Any]] = {}
    found = {**{k: v for k, v in tensors.items() if k.startswith("optimizer.")}, **rest["state"]}
    for name, value in found.items():
        _, index, key = name.split(".", 2)
        memory.setdefault(int(index), {})[key] = value
    groups = [
        {**saved, "params": now["params"]} for now, saved in zip(content["param_groups"], rest["groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": memory, "param_groups": groups})
    # laid out as their parameters are: fused optimizers pair them by address, not by index
    for parameter, of_parameter in optimizer.state.items():
        for key, value in of_parameter.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                of_parameter[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
