"""What stands in for what the machine that runs the tests lacks: real weights, hours, GPUs, a person's files.

A documented command is run as it is written, but for these tables. Nothing in them names a single command.
"""

from pathlib import Path

from src.core.config import compose

# what a person puts in place, and what the test has there: {project} is its project, {home} a person's home
PLACEHOLDERS = {
    "path/to/train.yaml": "train.yaml",
    "step-000200": "step-000002",
    "exp.config_path=FILE": "exp.config_path=train.yaml",
    "/mnt/backup/project": "{home}/backup",
    "ssh://host/path/": "{home}/ssh/",
    "/models/sd15": "{project}/models/sd1",
    "/models/dreamshaper.safetensors": "{project}/models/sd1.safetensors",
    "path/to/pictures": "data/captioned",
    "path/to/photo.jpg": "data/raw/IMG_0.png",
    "path/to/prompts.txt": "prompts.txt",
    "path/to/picture.png": "picture.png",
    "food101/images": "data/class_folders",
    "food101/train": "data/class_folders",
    "food101/test": "data/class_folders",
    "~/": "{home}/",
    "s3://bucket/": "{home}/s3/",
    "webdavs://webdav.example.org/": "{home}/webdav/",
    "ssh://user@host/path/": "{home}/ssh/",
}
# runs that are compared: a folder does for a revision, an experiment or the workspace
RUNS = {"HEAD": "run_a", "main": "run_a", "workspace": "run_b", "dora": "run_b"}
# the experiments of a commit
RUNS |= {"--experiments": "run_a"}
RUNS |= {f"{name}{number}": f"run_{name.lower()}" for name in "AB" for number in (1, 2, 3)}
# the true architecture in small
ARCHITECTURES = {"sd15": "sd1", "sd21": "sd2", "sdxl": "sdxl", "sd3": "sd3", "flux_dev": "flux", "tabletop": "sd1"}
# one image a prompt, one step, two prompts; what only says how long is replaced, what says how is not
DEV = 'prompts.dev=[{id: rug, group: recontext, text: "a {subject} on a rug"}]'
PLACES = ", ".join(f'{{id: {name}, group: recontext, text: "a {{subject}} at the {name}"}}' for name in ("sea", "lake"))
TEST = f"prompts.test=[{PLACES}]"
SIZES = {
    "train.steps": "2",
    "train.checkpoint_every": "2",
    "train.val_every": "2",
    "validation_args.num_inference_steps": "1",
    "validation_args.num_subject_only_images": "1",
    "validation_args.num_images_per_prompt": "1",
    "prior.num_images": "2",
    "model.resolution": "64",
    # the noise that stands for photos has no subject
    "train.background_weight": "1",
    "device": "cpu",
}
ABSENT = {"captioner": "tiny", "metric_models": "tiny", "model.revision": "null", "model.variant": "null"}
PRETRAINING = {
    "train.steps": "1",
    "train.batch_size": "2",
    "train.eval_every": "1",
    "train.mixed_precision": "no",
    "task.measures": "[]",
    "device": "cpu",
}
PRETRAINING_WIDTHS = {
    "diffusion": {
        "task.unet.block_out_channels": "[32,32,32,32]",
        "task.unet.attention_head_dim": "8",
        "task.unet.layers_per_block": "1",
        "train_data.resolution": "16",
    },
    "diffusion_text": {
        "task.vae": "models/sd1/vae",
        "task.unet.sample_size": "8",
        "task.unet.block_out_channels": "[32,32,32]",
        "task.unet.layers_per_block": "1",
        "task.text.num_hidden_layers": "1",
        "train_data.resolution": "64",
    },
    "gan": {"task.generator_widths": "[8,8,8,8,8]", "task.discriminator_widths": "[8,8,8,8,8]"},
}


def fill_in(text: str, project: Path, home: Path) -> str:
    """Puts the test's files in the place of a person's."""
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value.format(project=project, home=home))
    return text


def small(overrides: list[str], project: Path) -> list[str]:
    """Lays sizes and tiny weights over the overrides of a pipeline's command."""
    if "exp.config_path=params.yaml" in overrides:  # of a run in small
        return overrides
    chosen = [
        word
        for word in overrides
        if "=" in word
        and not word.startswith(("exp.", "prompt=", "prompt_file=", "seeds=", "init_image=", "inferencer."))
    ]
    name = str(compose([word for word in chosen if word.startswith("model=")]).model.name)
    later = dict(SIZES)
    if not any(word.startswith("model.id=") for word in overrides):
        later["model.id"] = str(project / "models" / ARCHITECTURES[name])
    if any(word.startswith("model.id=") and word.endswith(".safetensors") for word in overrides):
        later["model.config"] = str(project / "models" / ARCHITECTURES[name])
    if any(word.startswith("init_image=") for word in overrides):  # of one step no part is left
        later["validation_args.num_inference_steps"] = "2"
    groups = {word.partition("=")[0] for word in overrides}
    later |= {key: value for key, value in ABSENT.items() if key not in groups}
    if not any(word == "tracker=tensorboard" for word in overrides):
        later["tracker"] = "none"
    return [*overrides, *(f"{key}={value}" for key, value in later.items()), DEV, TEST]


def small_pretraining(overrides: list[str]) -> list[str]:
    """Lays sizes over the overrides of a training from noise."""
    [file] = [Path(word.partition("=")[2]) for word in overrides if word.startswith("exp.config_path=")]
    later = PRETRAINING | (PRETRAINING_WIDTHS.get(file.stem) or PRETRAINING_WIDTHS[file.stem.split("_")[0]])
    return [*overrides, *(f"{key}={value}" for key, value in later.items())]
