"""The page as a process of its own, that knows the tests' small models: `python -m tests.ui.server KEY=VALUE ...`."""

import sys

from src.commands.ui import serve
from tests.tiny.models import register_choices

if __name__ == "__main__":
    register_choices()
    serve(0, False, sys.argv[1:])
