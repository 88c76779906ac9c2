"""The held-out loss: fixed times and noise per photo, so that its changes are the model's, not the dice's."""

import torch

from src.losses.diffusion import MSELoss
from src.training.batches import generator
from src.training.run import Run


def validate(run: Run) -> dict[str, float]:
    """Computes the held-out loss, unweighted whatever the training loss is.

    When a text encoder trains, too, the loss is also taken with one part's adapter alone, which shows what each
    part contributes.

    Args:
        run: The run; its module is back in training mode afterwards.

    Returns:
        ``val_loss``, and ``val_loss_unet_only`` and ``val_loss_text_encoder_only`` when both parts train.
    """
    module = run.accelerator.unwrap_model(run.module)
    module.eval()
    losses = {"val_loss": _mean_loss(run, module)}
    if len(run.groups) > 1:
        for group in run.groups:
            with run.hooks.only_part(group.name):
                losses[f"val_loss_{group.name}_only"] = _mean_loss(run, module)
    module.train()
    return losses


@torch.no_grad()
def _mean_loss(run: Run, module: torch.nn.Module) -> float:
    data, total, process = run.photos.val, [], run.sampling.process
    times = [process.time_at(fraction) for fraction in run.plan.val_timesteps]
    time = torch.tensor(times, device=run.device)
    for index, name in enumerate(data.ids):
        latents = data.mean[0, index].expand(len(times), -1, -1, -1)
        noise = torch.stack(
            [torch.randn(latents.shape[1:], generator=generator(run.sampling.seed, "val", name, at)) for at in times]
        )
        noised = process.add_noise(latents.to(run.device), noise.to(run.device), time)
        size_px = data.size_px[index].expand(len(times), -1).to(run.device)
        with run.accelerator.autocast():
            prediction = module(noised.x_t, time, run.encode([data.captions[index]] * len(times)), size_px)
        total.append(MSELoss()(prediction, noised).mean())
    return float(torch.stack(total).mean())
