"""Two workers with one training: the second waits and publishes what the first trained."""

import fcntl
import shutil

from src.core import running
from src.training.state import StateFolder
from tests.integration.small_project import hashes, succeed


def test_second_worker_waits_with_a_line_and_publishes_from_the_state(spoiled, capsys, monkeypatch):
    before = hashes(spoiled)
    shutil.rmtree(spoiled / "models/adapter")
    (folder,) = (path.parent for path in spoiled.glob(".train_state/*/state.safetensors"))
    first, flock = StateFolder(folder).locked(), fcntl.flock
    first.__enter__()

    def flock_when_the_first_has_ended(file, how):
        if not how & fcntl.LOCK_NB:  # the second has said that it waits
            first.__exit__(None, None, None)
        flock(file, how)

    monkeypatch.setattr(running.fcntl, "flock", flock_when_the_first_has_ended)
    succeed("train", "validation_args.guidance_scale=4")
    said = capsys.readouterr().out
    assert said.index("is at work on it; waiting until it has ended") < said.index("were trained before: publishing")
    assert hashes(spoiled) == before
