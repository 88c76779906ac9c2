"""Prompt sets: what is generated to choose a checkpoint (dev) and to report on it (test).

A prompt's text has a placeholder: ``{subject}`` stands for the rare token with the class noun after it (for the base
model: the class noun alone), ``{token}`` for the token alone (for the base model: the class noun).
"""

import ast
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.errors import ConfigError
from src.core.files import has_file, sha256_bytes
from src.core.sets import CLASS_ONLY, DEV, SUBJECT_ONLY, TEST, UNRELATED

SETS = (DEV, TEST)
FIELDS = {"id", "group", "text"}
FILE_KEYS = {"file", "subject_name", "live_classes", "dev_every"}
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_SLUG_CHARS = 60
ARTICLE = re.compile(r"\b([Aa])n? (?=\{(?:subject|token)\})")
# 'a {0} {1} in the snow'.format(unique_token, class_token),
FILE_PROMPT = re.compile(r"""('[^']*'|"[^"]*")\s*\.format\(\s*unique_token\s*,\s*class_token\s*\)\s*,?""")


@dataclass(frozen=True)
class Prompt:
    """One prompt.

    Attributes:
        id: Names it in tables and folders; unique over both sets.
        set: ``dev``, ``test``, ``class-only``, ``subject-only`` or ``unrelated``.
        group: What kind of change it asks for, for example ``recontext``.
        text: With one placeholder; none when a person's own prompt does not name the subject, or in ``unrelated``.
    """

    id: str
    set: str
    group: str
    text: str

    def with_token(self, token: str, class_name: str) -> str:
        """Returns what the adapted model generates: ``a sksToy toy on the moon``; for `prior` the same as `plain`."""
        if self.set == CLASS_ONLY:
            return self.plain(class_name)
        return self.text.replace("{subject}", f"{token} {class_name}").replace("{token}", token)

    def plain(self, class_name: str) -> str:
        """Returns what the base model generates and CLIP reads: ``a toy on the moon``, ``an owl on the moon``."""
        vowel = class_name[0] in "aeiouAEIOU"
        text = ARTICLE.sub(r"\1n " if vowel else r"\1 ", self.text)
        return text.replace("{subject}", class_name).replace("{token}", class_name)


def load_prompts(prompts: Mapping[str, Any]) -> list[Prompt]:
    """Reads a prompt set from the configuration.

    Args:
        prompts: ``{"dev": [...], "test": [...]}`` of mappings with id, group and text, or ``{"file": ...,
            "subject_name": ..., "live_classes": ..., "dev_every": ...}`` for a file in DreamBooth's form.

    Returns:
        The prompts, dev before test, each set in its own order.

    Raises:
        ConfigError: A set is unknown or empty, or a prompt cannot be used; the message names it.
    """
    if "file" in prompts:
        if set(prompts) != FILE_KEYS:
            raise ConfigError(f"prompts: found keys {sorted(prompts)}, expected {sorted(FILE_KEYS)}")
        name, live, every = prompts["subject_name"], prompts["live_classes"], prompts["dev_every"]
        return read_dreambooth_prompts(Path(prompts["file"]), name, live, every)
    unknown = sorted(set(prompts) - set(SETS))
    if unknown:
        raise ConfigError(f"prompts.{unknown[0]}: unknown set, expected {' and '.join(SETS)}")
    loaded = []
    for name in SETS:
        if name not in prompts or not prompts[name]:
            raise ConfigError(f"prompts.{name}: empty, expected at least one prompt")
        loaded += [_read_entry(entry, name, f"prompts.{name}[{index}]") for index, entry in enumerate(prompts[name])]
    return _check(loaded)


def subject_only_prompts(text: str) -> list[Prompt]:
    """Makes the two prompts that show nothing but class or subject.

    Args:
        text: For example ``a photo of a {subject}``.

    Returns:
        One prompt of the set ``class-only``, one of ``subject-only``.

    Raises:
        ConfigError: The text does not name the subject exactly once.
    """
    return _check([Prompt(name, name, name, text) for name in (CLASS_ONLY, SUBJECT_ONLY)])


def unrelated_prompts(texts: Sequence[str]) -> list[Prompt]:
    """Makes prompts about other things, which base and adapted model are both asked as they are.

    Args:
        texts: For example ``a photo of a mountain lake at sunrise``.

    Returns:
        The set ``unrelated``, a group of that name.

    Raises:
        ConfigError: A text is empty, stands twice, or has a placeholder.
    """
    prompts = [Prompt(f"{UNRELATED}-{make_slug(text)}", UNRELATED, UNRELATED, text) for text in texts]
    for prompt in prompts:
        if not prompt.text.strip() or "{" in prompt.text:
            raise ConfigError(
                f"validation_args.unrelated_prompts: expected a text without subject, found {prompt.text!r}"
            )
    if len({prompt.id for prompt in prompts}) < len(prompts):
        raise ConfigError("validation_args.unrelated_prompts: a text stands twice")
    return prompts


def all_prompts(prompts: Mapping[str, Any], subject_only: str, unrelated: Sequence[str]) -> list[Prompt]:
    """Returns every prompt that a run is evaluated with.

    Args:
        prompts: See `load_prompts`.
        subject_only: See `subject_only_prompts`.
        unrelated: See `unrelated_prompts`.

    Returns:
        By set.

    Raises:
        ConfigError: A prompt cannot be used.
    """
    return load_prompts(prompts) + subject_only_prompts(subject_only) + unrelated_prompts(unrelated)


def _read_entry(entry: Any, set_name: str, where: str) -> Prompt:
    if not isinstance(entry, Mapping) or set(entry) != FIELDS:
        found = sorted(entry) if isinstance(entry, Mapping) else repr(entry)
        raise ConfigError(f"{where}: found {found}, expected the keys {sorted(FIELDS)}")
    for field in sorted(FIELDS):
        if not isinstance(entry[field], str) or not entry[field].strip():
            raise ConfigError(f"{where} (id {entry['id']!r}): {field} is {entry[field]!r}, expected text")
    return Prompt(entry["id"], set_name, entry["group"], entry["text"])


def _check(prompts: list[Prompt]) -> list[Prompt]:
    seen: set[str] = set()
    for prompt in prompts:
        where = f"prompt {prompt.id!r} ({prompt.set})"
        if not SLUG.fullmatch(prompt.id):
            raise ConfigError(f"{where}: the id must be of lower-case letters and digits joined by hyphens")
        if prompt.id in seen:
            raise ConfigError(f"{where}: the id is taken by an earlier prompt")
        if prompt.text.count("{subject}") != 1:
            raise ConfigError(f"{where}: expected {{subject}} exactly once in {prompt.text!r}")
        seen.add(prompt.id)
    return prompts


def single_prompt(text: str, token: str, class_name: str) -> Prompt:
    """Makes a prompt of what a person typed; the adapted model generates exactly what was typed.

    Args:
        text: For example ``a photo of sksToy on the moon``, or with the class noun after the token, or without either.
        token: The rare token; it is found in any case of its letters, as tokenizers do.
        class_name: The class noun.

    Returns:
        A prompt of the set ``test`` and the group ``single``.

    Raises:
        ConfigError: The text is empty.
    """
    if not text.strip():
        raise ConfigError(f"prompt={text!r}: expected what is to be generated")
    token_pattern, class_pattern = rf"(?<!\w){re.escape(token)}", rf"{re.escape(class_name)}(?!\w)"
    marked = re.sub(rf"{token_pattern}\s+{class_pattern}", "{subject}", text, flags=re.IGNORECASE)
    marked = re.sub(rf"{token_pattern}(?!\w)", "{token}", marked, flags=re.IGNORECASE)
    return Prompt(make_slug(text), "test", "single", marked)


def make_slug(text: str) -> str:
    """Returns an id for a text: its own words where they are short and ASCII, else with a hash of the text."""
    slug = "-".join(re.findall(r"[a-z0-9]+", text.lower()))
    if text.isascii() and slug and len(slug) <= MAX_SLUG_CHARS:
        return slug
    return "-".join(part for part in (slug[: MAX_SLUG_CHARS - 9].strip("-"), sha256_bytes(text.encode())[:8]) if part)


def read_dreambooth_prompts(path: Path, name: str, live_classes: Sequence[str], dev_every: int) -> list[Prompt]:
    """Reads a file in the form of DreamBooth's prompts_and_classes.txt, without running anything in it.

    Args:
        path: Has a table ``subject_name,class`` and the lists "Object Prompts" and "Live Subject Prompts".
        name: A subject_name of the table, or one of its classes.
        live_classes: The classes that get the live list.
        dev_every: Every so many prompts one is dev, the last of each so many; at least 2.

    Returns:
        Dev, then test, each in the file's order; groups are recontext, outfit and property, told by the text.

    Raises:
        ConfigError: The file is missing or has another form, or `name` is not in its table.
    """
    if not has_file(path):
        raise ConfigError(f"prompts.file: no such file: {path}")
    if dev_every < 2:
        raise ConfigError(f"prompts.dev_every={dev_every}: expected 2 or more")
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    classes = _read_classes(path, lines)
    if name not in classes and name not in classes.values():
        known = sorted({*classes, *classes.values()})
        raise ConfigError(f"prompts.subject_name={name!r} is not in {path}, which knows: {', '.join(known)}")
    live = classes.get(name, name) in live_classes
    texts = _read_list(path, lines, "Live Subject Prompts" if live else "Object Prompts")
    sets = ["dev" if (index + 1) % dev_every == 0 else "test" for index in range(len(texts))]
    ids = [make_slug(text.replace("a {subject}", "").replace("{subject}", "").removeprefix("a ")) for text in texts]
    groups = [_guess_group(text) for text in texts]
    prompts = [Prompt(*fields) for fields in zip(ids, sets, groups, texts, strict=True)]
    return _check(sorted(prompts, key=lambda prompt: SETS.index(prompt.set)))


def _read_classes(path: Path, lines: list[str]) -> dict[str, str]:
    if "subject_name,class" not in lines:
        raise ConfigError(f"{path}: expected a line 'subject_name,class'")
    start = lines.index("subject_name,class") + 1
    rows = lines[start : lines.index("", start)] if "" in lines[start:] else lines[start:]
    table = {}
    for number, row in enumerate(csv.reader(rows), start + 1):
        if len(row) != 2:
            raise ConfigError(f"{path}, line {number}: found {','.join(row)!r}, expected subject_name,class")
        table[row[0].strip()] = row[1].strip()
    return table


def _read_list(path: Path, lines: list[str], heading: str) -> list[str]:
    if heading not in lines:
        raise ConfigError(f"{path}: expected a line {heading!r}")
    rest = list(enumerate(lines, 1))[lines.index(heading) + 1 :]
    texts: list[str] = []
    for number, line in rest:
        if line == "]":
            break
        match = FILE_PROMPT.fullmatch(line)
        if match:
            texts.append(ast.literal_eval(match[1]).replace("{0} {1}", "{subject}"))
        elif line not in ("", "prompt_list = ["):
            raise ConfigError(
                f"{path}, line {number}: found {line!r}, expected '...'.format(unique_token, class_token),"
            )
    if not texts:
        raise ConfigError(f"{path}: no prompts under {heading!r}")
    return texts


def _guess_group(text: str) -> str:
    if text.endswith("{subject}"):
        return "property"
    return "outfit" if "wearing" in text or "outfit" in text else "recontext"
