"""Training in fp16 on a processor."""

import torch
from accelerate import Accelerator


def scaling_accelerator(accumulation: int) -> Accelerator:
    """Builds an accelerator for fp16: accelerate scales gradients on GPUs only, but torch's scaler works here, too."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulation, mixed_precision="no")
    accelerator.state._mixed_precision = "fp16"
    accelerator.native_amp = True
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    return accelerator
