"""Generates images: `python inference.py inferencer.ckpt_dir=DIR prompt="a photo of sksToy toy on the moon"`.

Without a prompt it draws the pipeline's prompt set.
"""

import sys

from src.core.own_prompts import wants_own_prompts

if __name__ == "__main__":
    if wants_own_prompts(sys.argv[1:]):
        from src.stages.inference import main
    else:
        from src.stages.generate import main
    main()
