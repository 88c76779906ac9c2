"""The one grammar of commands: --help is answered with the usage, wrong words with it and exit status 2."""

import argparse


def command_line(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Makes the reader of a command's words.

    Args:
        name: Of the command's module.
        doc: What the module says of itself.

    Returns:
        Without words of its own yet; whatever is not added is refused.
    """
    return argparse.ArgumentParser(
        prog=f"python -m src.commands.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
