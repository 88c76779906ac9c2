"""Tells a person's own prompts from the pipeline's prompt set; inference.py draws both."""

from collections.abc import Sequence
from pathlib import Path

from src.core.config_errors import load_yaml
from src.core.errors import PipelineError
from src.core.files import has_file
from src.core.quoting import literal_path

WANTS = ("prompt", "prompt_file", "exp.from_image")


def wants_own_prompts(words: Sequence[str]) -> bool:
    """Says whether a command line, or the file that it names, asks for prompts of a person's own.

    Args:
        words: Hydra overrides.

    Returns:
        True if it names a prompt or a picture to repeat. A dump such as params.yaml, with which the pipeline runs its
        stages, does not count.
    """
    given = {word.lstrip("+").partition("=")[0]: literal_path(word) for word in words}
    if any(given.get(key, "null") != "null" for key in WANTS):
        return True
    path = Path(given.get("exp.config_path", "null"))
    try:
        if not has_file(path):
            return False
        file = load_yaml(path)
    except PipelineError:  # whoever loads it for its values says what is wrong with it
        return False
    return "configs_digest" not in file and any(file.get(key) is not None for key in WANTS[:2])
