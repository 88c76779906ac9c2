import pytest

from tests.docs.markdown import comments, documented, read_commands

TEXT = """
Run `make env`, then `dvc repro`; `dvc` and `python train.py ...` are no commands. <!-- needs: network -->

| T4 | `-S lr=1 -S rank=8` and `dvc exp show` | `train.steps=1` | `-S` |

<!-- needs: gpu network -->
```
HF_HUB_OFFLINE=1 dvc exp run -S "lr=1,2"   # a comment, and more
cd a && dvc repro \\
    -f
```
```text
python is not run here
```
```
dvc push
```
"""


def test_commands_of_text_tables_and_blocks_are_found():
    found = [(command.text, sorted(command.needs)) for command in read_commands("a.md", TEXT)]
    assert found == [
        ("make env", ["network"]),
        ("dvc repro", ["network"]),
        ("dvc exp run -S lr=1 -S rank=8", []),
        ("dvc exp show", []),
        ('HF_HUB_OFFLINE=1 dvc exp run -S "lr=1,2"', ["gpu", "network"]),
        ("cd a", ["gpu", "network"]),
        ("dvc repro -f", ["gpu", "network"]),
        ("dvc push", []),
    ]


def test_a_command_that_is_broken_over_two_lines_is_found():
    text = "Numbers of `python -m\nbenchmarks`, which took <!-- needs: hours -->\nlong.\n\n`not closed\n\n`dvc push`"
    found = [(command.text, sorted(command.needs)) for command in read_commands("a.md", text)]
    assert found == [("python -m benchmarks", ["hours"]), ("dvc push", [])]


def test_commands_in_comments_of_a_configuration_are_found():
    text = "# Food-101:\n# python train.py a=1 \\\n#   b=2\n# python is a language\nkey: 1  # `dvc repro` reads it\n"
    assert [command.text for command in read_commands("a.yaml", comments(text))] == [
        "python train.py a=1 b=2",
        "dvc repro",
    ]


def test_words_are_those_of_a_shell_without_the_variables():
    [command] = read_commands("a.md", '`A=1 python train.py prompt="two words"`')
    assert command.words == ["python", "train.py", "prompt=two words"]


def test_an_unknown_marker_is_refused():
    with pytest.raises(AssertionError, match=r"a\.md:1: unknown marker \['luck'\]"):
        read_commands("a.md", "<!-- needs: luck -->")


def test_every_line_of_a_readme_block_is_found():
    texts = [command.text for command in documented(["README.md"])]
    for line in ("make demo", "dvc repro", "dvc metrics diff"):
        assert line in texts
