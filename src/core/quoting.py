"""Texts on the command line: people type them as they are, Hydra wants them quoted."""

import re

TEXT_KEYS = ("prompt", "prior.prompt", "validation_args.negative_prompt", "caption.prefix", "report.title")


def quote_text(override: str) -> str:
    """Quotes what a person typed as a prompt, so that its commas and brackets are not Hydra's grammar.

    Args:
        override: For example ``prompt=a toy, on the moon``.

    Returns:
        ``prompt='a toy, on the moon'``; other overrides, null and text that is quoted already stay as they are.
    """
    key, _, value = override.partition("=")
    if key not in TEXT_KEYS or value in ("", "null") or value[0] in "'\"":
        return override
    # Hydra takes a backslash for itself, except before a quote
    escaped = re.sub(r"(\\+)(?='|$)", r"\1\1", value).replace("'", r"\'")
    return f"{key}='{escaped}'"
