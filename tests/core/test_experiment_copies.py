from pathlib import Path

import pytest

from src.core.experiment_copies import refuse_copies

RUN = ["/bin/dvc", "exp", "run"]


@pytest.mark.parametrize("folder", ["/home/Ира/project", "/home/me/toy #2", "/home/prüfung/p"])
@pytest.mark.parametrize("word", ["--queue", "--temp"])
def test_a_path_that_dvc_cannot_copy_is_refused_with_the_way_out(folder, word):
    with pytest.raises(SystemExit, match=f"dvc exp run {word} fails in {folder}: .*leave out {word}, or move"):
        refuse_copies([*RUN, word, "-S", "lr=1"], Path(folder))


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ([*RUN, "--temp"], "/home/me/my toy"),
        (RUN, "/home/Ира/project"),
        (["/bin/dvc", "status"], "/home/Ира/project"),
        (["train.py", "prompt=--temp"], "/home/Ира/project"),
    ],
)
def test_everything_else_passes(words, folder):
    refuse_copies(words, Path(folder))
