"""Says where the embedded base loses sharpness: `python -m src.commands.tabletop_diagnose`.

Writes tabletop/diagnosis.md. Reads models/tabletop, and further autoencoders that are named. The
tables go into docs/tabletop.md.
"""

from dataclasses import replace
from pathlib import Path

from src.commands.usage import command_line
from src.core import layout
from src.core.building import build
from src.core.config import load_settings
from src.core.config_errors import one_line
from src.core.device import choose_device
from src.core.files import write_text

SUBJECTS, STEPS, GUIDANCE = 64, (5, 20, 50), (1.0, 2.0, 3.0, 4.0, 6.0)


@one_line("tabletop_diagnose")
def main() -> None:
    """Measures and prints; an hour on two cores with 200 samples, minutes with 48."""
    parser = command_line("tabletop_diagnose", __doc__)
    parser.add_argument("--models", type=Path, default=layout.EMBEDDED)
    parser.add_argument("--world", default=str(layout.WORLD_VAL))
    parser.add_argument("--autoencoder", type=Path, action="append", default=[], help="a further one; may be repeated")
    parser.add_argument("--samples", type=int, default=200, help="of each setting, at most 200; 0 renders none")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--guidance", type=float, nargs="+", default=GUIDANCE)
    parser.add_argument("--out", type=Path, default=layout.WORLD_DIAGNOSIS)
    wanted = parser.parse_args()
    config = load_settings(["model=tabletop"])
    from src.models.families import load_base_model
    from src.pretraining.reconstruction import load_perceptual
    from src.pretraining.sampling import load_vae
    from src.stages.sampling_setup import sampling_settings
    from src.tabletop.classifier import ClassifierFeatures, load_classifier
    from src.tabletop.diagnosis import diagnose_autoencoder, diagnose_sampling, tables
    from src.tabletop.scene import triples
    from src.tabletop.sources import load_world, render_subject

    device, settings = choose_device(config.device), sampling_settings(config)
    world = load_world(wanted.world)
    sets = {"world": world, "demo subject": render_subject(SUBJECTS, world.resolution, 0)}
    base = load_base_model(str(wanted.models / "sd"), None, None, "fp32", device)
    autoencoders = {"shipped": base.pipeline.vae}
    for folder in wanted.autoencoder:
        autoencoders[folder.name] = load_vae(folder, device)
    perceptual = load_perceptual(str(wanted.models / "metric_models/alexnet"), device)
    extractor = build(config.metric_models["dino"], "metric_models.dino").load(str(device))
    restored = {
        (name, pictures): diagnose_autoencoder(vae, images, perceptual, extractor, device)
        for name, vae in autoencoders.items()
        for pictures, images in sets.items()
    }
    combinations = triples(0)[1]
    chosen = combinations[:: max(1, len(combinations) // wanted.samples)][: wanted.samples] if wanted.samples else []
    folder = wanted.models / "classifier"
    classifier, features = load_classifier(folder, device), ClassifierFeatures(str(folder))
    rendered = []
    for steps in wanted.steps if chosen else ():
        for guidance in wanted.guidance:
            how = replace(settings, num_inference_steps=steps, guidance_scale=guidance)
            rendered.append(diagnose_sampling(base, how, chosen, world, classifier, features))
            print(rendered[-1], flush=True)
    text = tables(restored, rendered)
    print(text)
    write_text(wanted.out, text + "\n")


if __name__ == "__main__":
    main()
