"""Trains a generative model from noise: `python pretrain.py exp.config_path=configs/scratch/gan.yaml`; see train.py."""

from src.stages.pretraining import main

if __name__ == "__main__":
    main()
