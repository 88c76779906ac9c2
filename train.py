"""Trains the adapter: `python train.py lr=1e-4`, or `python train.py exp.config_path=FILE` (see README).

A file of configs/scratch trains a generative model from noise instead.
"""

import sys

from src.core.pretraining_config import trains_from_noise

if __name__ == "__main__":
    if trains_from_noise(sys.argv[1:]):
        from src.stages.pretraining import main
    else:
        from src.stages.train import main
    main()
