"""What is kept to save time is never believed: flipped bits and cut files are made anew, to the same bytes."""

import shutil

import pytest

from tests.integration.small_project import PROMPTS_FILE, hashes, succeed


def flip(content):
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]


def cut(content):
    return content[: len(content) // 2]


def damage(folder, pattern, how):
    files = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(how(path.read_bytes()))
    return files


@pytest.mark.parametrize(
    ("pattern", "how", "anew"),
    [
        (".cache/latents/*", flip, (".train_state", "models/adapter")),
        (".cache/latents/*", cut, (".train_state", "models/adapter")),
        (".train_state/*/state.safetensors", flip, ("models/adapter",)),
        (".train_state/*/checkpoints/*/*", flip, ("models/adapter",)),
    ],
)
def test_training_takes_nothing_that_is_damaged(spoiled, capsys, pattern, how, anew):
    before = hashes(spoiled)
    for name in anew:
        shutil.rmtree(spoiled / name)
    damaged = damage(spoiled, pattern, how)
    capsys.readouterr()
    succeed("train")
    assert hashes(spoiled) == before
    said = capsys.readouterr().out
    assert all((path.parent if "checkpoints" in pattern else path).name in said for path in damaged)
    assert "damaged" in said


def test_a_missing_checkpoint_of_a_state_is_made_anew(spoiled, capsys):
    before = hashes(spoiled)
    (checkpoint,) = spoiled.glob(".train_state/*/checkpoints/step-000001")
    shutil.rmtree(checkpoint)
    succeed("train")
    assert "step-000001: damaged or missing; trains anew" in capsys.readouterr().out
    assert hashes(spoiled) == before


@pytest.mark.parametrize("how", [flip, cut])
def test_generating_takes_nothing_that_is_damaged(spoiled, capsys, how):
    before = hashes(spoiled)
    damaged = damage(spoiled, ".cache/samples/*", how)[:3]
    for path in set(spoiled.glob(".cache/samples/*")) - set(damaged):
        path.unlink()  # generated anew as well
    shutil.rmtree(spoiled / "data/samples")
    succeed("generate", PROMPTS_FILE)
    assert hashes(spoiled) == before
    assert capsys.readouterr().out.count("damaged") == len(damaged)
