"""Trains the adapter: `python train.py lr=1e-4`, or `python train.py exp.config_path=FILE` (see README)."""

from src.stages.train import main

if __name__ == "__main__":
    main()
