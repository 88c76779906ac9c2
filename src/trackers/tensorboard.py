"""TensorBoard event files on this machine."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.files import work_root, write_bytes
from src.trackers.protocol import label_images

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

FLUSH_S = 10
PROBE_BYTES = 4096


class TensorBoardTracker:
    """Writes TensorBoard event files.

    Args:
        log_dir: Each run gets a folder of its name in here. Seen from the project's own root, so that what a queued
            experiment writes outlives DVC's temporary copy.
    """

    def __init__(self, log_dir: str) -> None:
        self.name, self.remote = "tensorboard", False
        self._log_dir = work_root() / log_dir

    def start(self, run_name: str, first_step: int) -> None:
        """Opens the run's folder; TensorBoard then ignores earlier events from `first_step` on."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._log_dir / run_name
        probe = folder / ".probe"
        write_bytes(probe, b"\0" * PROBE_BYTES)  # a full disk is an error here, not a traceback of the writer's thread
        probe.unlink()
        self._writer = SummaryWriter(str(folder), purge_step=first_step, flush_secs=FLUSH_S)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve."""
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def images(self, step: int, name: str, images: Sequence["Image.Image"], captions: Sequence[str]) -> None:
        """Adds each image under the tag `name`/caption."""
        import numpy as np

        for image, label in zip(images, label_images(captions), strict=True):
            self._writer.add_image(f"{name}/{label}", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def table(self, name: str, frame: "pd.DataFrame") -> None:
        """Adds the table as Markdown."""
        rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
        self._writer.add_text(name, "\n".join(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows))

    def artifact(self, name: str, path: Path) -> None:
        """Adds the path: TensorBoard stores no files."""
        self._writer.add_text(f"artifact/{name}", path.as_posix())

    def config(self, values: Mapping[str, Any]) -> None:
        """Adds the configuration as JSON."""
        self._writer.add_text("config", f"```json\n{json.dumps(values, indent=2)}\n```")

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()
