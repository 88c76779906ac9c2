"""Generates images: `python inference.py inferencer.ckpt_dir=DIR prompt="a photo of sksToy toy on the moon"`."""

from src.stages.generate import main

if __name__ == "__main__":
    main()
