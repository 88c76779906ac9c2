"""Prints what the embedded models reach on what they have not seen. Reads models/tabletop, writes tabletop/scores.json.

The models are loaded as the pipeline loads them: through the real loaders, from the published half-precision files.
"""

from src.commands.usage import command_line
from src.core import layout
from src.core.building import build
from src.core.config import load_settings
from src.core.config_errors import one_line
from src.core.device import choose_device
from src.core.files import write_json

SEED = 0


@one_line("tabletop_score")
def main() -> None:
    """Measures and prints; some minutes on two cores."""
    parser = command_line("tabletop_score", __doc__)
    parser.add_argument("overrides", nargs="*", help="for example validation_args.guidance_scale=4")
    config = load_settings(["model=tabletop", *parser.parse_args().overrides])

    from src.stages.sampling_setup import sampling_settings
    from src.tabletop.scores import Embedded, score_models
    from src.tabletop.sources import load_world

    models = Embedded(
        folder=layout.EMBEDDED,
        clip=build(config.metric_models["clip"], "metric_models.clip"),
        dino=build(config.metric_models["dino"], "metric_models.dino"),
        captioner=build(config.captioner, "captioner"),
        settings=sampling_settings(config),
        device=choose_device(config.device),
        seed=SEED,
    )
    scores = score_models(models, load_world(str(layout.WORLD_VAL)))
    for name, value in scores.items():
        print(f"{name:32} {value:z.4f}")
    write_json(layout.WORLD_SCORES, scores)


if __name__ == "__main__":
    main()
