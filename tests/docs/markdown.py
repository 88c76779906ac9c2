"""Finds every command in the documentation; CONTRIBUTING.md tells authors the same rules."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDS = ("gpu", "network", "server", "hours")
SHELLS = ("", "sh", "bash")
FENCE = re.compile(r"\s*```(\w*)\s*$")
MARKER = re.compile(r"<!-- needs: ([^>]*?) -->")
TICK = re.compile(r"(?<!`)`(?!`)")
SPAN = re.compile(r"`([^`]+)`")
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
PROGRAMS = {"accelerate", "clearml-init", "clearml-task", "cp", "dvc", "git", "lint-imports", "make", "mkdir", "mypy"}
PROGRAMS |= {"pip", "pydoclint", "python", "rm", "ruff", "source", "tensorboard", "torchrun", "unzip", "uv", "wandb"}
# a program's name alone, in the text, is no command
ALONE = {"clearml-init", "mypy", "lint-imports"}
FORMS = ("...", "<name>")
UNMARKED = re.compile(r"python (-m|\S+\.py) |dvc exp run ")
OVERRIDES = re.compile(r"-S \S+=")


@dataclass(frozen=True)
class Command:
    """One command of the documentation.

    Attributes:
        where: File and line.
        text: As a shell would read it, one command, without a comment.
        needs: What the machine that runs the tests does not have: one of NEEDS.
    """

    where: str
    text: str
    needs: frozenset[str]

    @property
    def in_comment(self) -> bool:
        """Whether it stands in a configuration, where no marker is."""
        return self.where.startswith("configs/")

    @property
    def words(self) -> list[str]:
        """The words, without the variables set before them."""
        words = shlex.split(self.text)
        while ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        return words


def documents() -> list[str]:
    """Lists what people read."""
    found = [file.relative_to(ROOT).as_posix() for file in sorted((ROOT / "docs").glob("*.md"))]
    configs = [file.relative_to(ROOT).as_posix() for file in sorted((ROOT / "configs").rglob("*.yaml"))]
    return ["README.md", "CONTRIBUTING.md", "SECURITY.md", *found, *configs]


def documented(names: list[str]) -> list[Command]:
    """Lists all commands of these files, in their order."""
    texts = {name: (ROOT / name).read_text() for name in names}
    texts |= {name: comments(text) for name, text in texts.items() if name.endswith(".yaml")}
    return [command for name, text in texts.items() for command in read_commands(name, text)]


def comments(text: str) -> str:
    """Returns the comments of a configuration; a line of them that begins with a program is a command."""
    lines = [line.partition("#")[2].strip() for line in re.sub(r"\\\n\s*#", "", text).splitlines()]
    return "\n".join(f"`{line}`" if UNMARKED.match(line) else line for line in lines)


def read_commands(name: str, text: str) -> list[Command]:
    """Lists the commands of one file: blocks without a language, `spans` that begin with a program or with -S."""
    found: list[Command] = []
    language, pending, block_needs, needs = None, "", frozenset(), frozenset()
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if fence:
            language = fence[1] if language is None else None
            block_needs, needs = (needs, frozenset()) if language is not None else (frozenset(), frozenset())
        elif language in SHELLS:
            pending += line.rstrip().removesuffix("\\")
            if not line.rstrip().endswith("\\"):
                found += [Command(f"{name}:{number}", part, block_needs) for part in split_line(pending)]
                pending = ""
        elif language is None:
            pending = f"{pending} {line}" if pending and line else line
            if len(TICK.findall(pending)) % 2 and line:
                continue
            needs = read_needs(f"{name}:{number}", pending)
            spans = [span for span in SPAN.findall(pending) if is_command(span)]
            pending = ""
            complete = [f"dvc exp run {span}" if OVERRIDES.match(span) else span for span in spans]
            found += [Command(f"{name}:{number}", part, needs) for span in complete for part in split_line(span)]
    return found


def read_needs(where: str, line: str) -> frozenset[str]:
    """Reads `<!-- needs: gpu -->` or `<!-- needs: gpu network -->`; of the block below it, or of its own line."""
    marker = MARKER.search(line)
    needs = frozenset(marker[1].split()) if marker else frozenset()
    if unknown := needs - set(NEEDS):
        raise AssertionError(f"{where}: unknown marker {sorted(unknown)}, expected some of {NEEDS}")
    return needs


def is_command(span: str) -> bool:
    """Tells a command from a name; what holds `...`, or ends in -S, shows a form and is none."""
    words = span.split()
    if any(form in span for form in FORMS) or span.endswith("-S"):
        return False
    while words and ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if not words:
        return False
    return bool(OVERRIDES.match(span)) or (words[0] in PROGRAMS and (len(words) > 1 or words[0] in ALONE))


def split_line(line: str) -> list[str]:
    """Splits `a && b  # why` into its commands."""
    parts: list[list[str]] = [[]]
    lexer = shlex.shlex(line, posix=False, punctuation_chars="&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    for word in lexer:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return [" ".join(part) for part in parts if part]
