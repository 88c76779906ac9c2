"""What the numbers of the default metrics mean, as evaluate writes it, without composing a configuration."""

from src.metrics.quantities import Quantities

UP, DOWN, NEITHER = True, False, None
NAMES = {
    "dino": UP,
    "clip_i": UP,
    "clip_t": UP,
    "div_lpips": UP,
    "pres": DOWN,
    "kid": DOWN,
    "nn_train": NEITHER,
    "copy_gap": NEITHER,
    "part_train": NEITHER,
    "id_sim_all": UP,
    "id_sim_detected": UP,
    "face_rate": UP,
}
PUBLISHED = {"clip_i": "vitb32", "clip_t": "vitb32", "div_lpips": "alexnet", "part_train": ""}
TITLES = {"vits16": "DINO ViT-S/16", "vitb32": "CLIP ViT-B/32", "alexnet": "LPIPS AlexNet", "": ""}


def described(model=None, title="an encoder", names=NAMES):
    """Entries of metrics_meta.json, measured by the published models or by another."""
    found = []
    for name in names:
        own = PUBLISHED.get(name, "vits16")
        own, of_own = (model, title) if model and own else (own, TITLES[own])
        found.append({"name": name, "model": own, "title": of_own, "higher_is_better": NAMES[name]})
    return found


QUANTITIES = Quantities.of({"quantities": described()})
