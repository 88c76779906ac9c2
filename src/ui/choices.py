"""What a run is told in the page: model, kind of subject, token, class noun, and any key of --help; kept as
`python -m src.stages.config set` keeps it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from src.core import layout
from src.core.config import compose, composed_values
from src.core.digest import options
from src.core.own_choices import read_choices, set_choices
from src.core.quoting import quoted
from src.stages.config import write_params

TOKEN, CLASS_NAME = "subject.token", "subject.class_name"


@dataclass(frozen=True)
class Offer:
    """What can be chosen.

    Attributes:
        models: Names of configs/model.
        subjects: Names of configs/subject.
        model: The present one.
        subject: The present kind; None where the default stands.
        token: The present rare token.
        class_name: The present class noun.
        kept: What configs/mine.yaml says, a line for each key.
        sampler_names: Names of configs/sampler.
        steps: Of the sampler, when nothing is said.
        guidance_scale: Likewise.
        max_megapixels: Of photos.
    """

    models: tuple[str, ...]
    subjects: tuple[str, ...]
    model: str
    subject: str | None
    token: str
    class_name: str
    kept: tuple[str, ...]
    sampler_names: tuple[str, ...]
    steps: int
    guidance_scale: float
    max_megapixels: float


def read_offer() -> Offer:
    """Reads configs/ as they are now; errors as of `read_choices`."""
    now: Any = compose()
    _, values = composed_values()
    kept = read_choices()
    return Offer(
        models=tuple(options("model")),
        subjects=tuple(options("subject")),
        model=str(now.model.name),
        subject=kept.get("subject"),
        token=str(values["subject"]["token"]),
        class_name=str(values["subject"]["class_name"]),
        kept=tuple(f"{key}={value}" for key, value in kept.items()),
        sampler_names=tuple(options("sampler")),
        steps=int(values["validation_args"]["num_inference_steps"]),
        guidance_scale=float(values["validation_args"]["guidance_scale"]),
        max_megapixels=float(values["convert"]["max_megapixels"]),
    )


def subject_words(subject: str) -> tuple[str, str]:
    """Returns rare token and class noun of a kind of subject; of the present choices, if it is empty."""
    _, values = composed_values([f"subject={subject}"] if subject else [])
    return str(values["subject"]["token"]), str(values["subject"]["class_name"])


def changed_words(offer: Offer, form: Mapping[str, str], more: str) -> list[str]:
    """Makes overrides of what a person changed.

    Args:
        offer: What the form began with.
        form: ``model``, ``subject``, ``token`` and ``class_name``; empty means no wish.
        more: ``KEY=VALUE``, one a line.

    Returns:
        As on the command line; groups first, as they bring values.
    """
    words = [
        f"{group}={form[group]}" for group in ("subject", "model") if form[group] not in ("", getattr(offer, group))
    ]
    token, class_name = subject_words(form["subject"] if form["subject"] != offer.subject else "")
    for key, name, now in ((TOKEN, "token", token), (CLASS_NAME, "class_name", class_name)):
        if form[name].strip() not in ("", now):
            words.append(f"{key}={quoted(form[name].strip())}")
    return [*words, *(line.strip() for line in more.splitlines() if line.strip())]


def keep_choices(words: list[str]) -> list[str]:
    """Keeps overrides in configs/mine.yaml and composes params.yaml anew; errors as of `set_choices`.

    Args:
        words: Of `changed_words`; none changes nothing.

    Returns:
        A line for each key that is kept.
    """
    if not words:
        return []
    kept = set_choices(words)
    write_params(layout.PARAMS)
    return kept
