"""Registers `${configs_digest:}`; DVC (hydra.plugins_path) and src.core.config both load it.

DVC composes before it does anything else, so this is also the first place of `dvc exp run` to refuse what would fail.
"""

import sys
from pathlib import Path

from src.core.digest import register
from src.core.experiment_copies import refuse_copies

register()
refuse_copies(sys.argv, Path(__file__).resolve().parents[2])
