"""Bad values on the command line and in files: refused by key and value before any model loads."""

import pytest
import torch


@pytest.mark.parametrize(
    ("stage", "overrides", "message"),
    [
        ("caption", ["subject=unicorn"], "subject=unicorn: no such choice, expected one of bear, dog, person, toy"),
        ("caption", ["subject.class_name=''"], "subject.class_name is empty: expected a word"),
        ("generate", ["subject.class_name=''"], "subject.class_name is empty: expected a word"),
        ("train", ["subject.token=''"], "subject.token is empty"),
        ("convert", ["convert.on_bad=maybe"], "convert.on_bad is 'maybe': expected one of fail, skip"),
        ("crop", ["crop.size_px=0"], "crop.size_px=0: expected a positive number"),
        ("crop", ["cropper=salient", "cropper.margin=-1"], "margin=-1: expected 1 or more"),
        ("crop", ["cropper._target_=src.nowhere.X"], "cropper._target_=src.nowhere.X: no such class"),
        ("crop", ["cropper=face"], "python -m src.commands.fetch"),
        ("caption", ["captioner.num_beams=0"], "num_beams=0"),
        ("caption", ["captioner=blip_large"], "python -m src.commands.fetch"),
        ("split", ["split.val_fraction=2"], "split.val_fraction=2.0: expected a number between 0 and 1"),
        ("train", ["lr=abc"], "lr: Value 'abc' of type 'str' could not be converted to Float"),
        ("train", ["lr=null"], "override 'lr=null': lr: null, expected a value"),
        ("train", ["~lr"], "missing keys: lr"),
        ("train", ["lr=-1"], "lr=-1"),
        ("train", ["lr=nan"], "lr=nan"),
        ("train", ["lrr=1"], "unknown key lrr: no such key in configs/"),
        ("train", ["lr"], "override 'lr'"),
        ("train", ["train.steps=1.5"], "train.steps: Value '1.5' of type 'float' could not be converted to Integer"),
        ("train", ["train.steps=0"], "train.steps=0: expected 1 or more"),
        ("train", ["train.batch_size=0"], "train.batch_size=0: expected 1 or more"),
        ("train", ["train.batch_size=3", "train.gradient_accumulation_steps=2"], "cannot be split evenly"),
        ("train", ["train.caption_dropout=2"], "train.caption_dropout=2.0: expected a number in [0, 1]"),
        (
            "train",
            ["train.val_timesteps=[a]"],
            "train.val_timesteps[0]: Value 'a' of type 'str' could not be converted to Float",
        ),
        ("train", ["train.sample_every=1", "validation_args.batch_size=0"], "validation_args.batch_size=0"),
        (
            "train",
            ["lr_schedule.warmup_steps=601", "train.steps=600"],
            "lr_schedule.warmup_steps=601 of train.steps=600",
        ),
        ("train", ["rank=0"], "rank=0 (expected >= 1)"),
        ("train", ["+method.nope=1"], "unexpected keyword argument 'nope'"),
        ("train", ["loss.gamma=0"], "loss.gamma=0: expected a number above 0"),
        ("train", ["optimizer.weight_decay=-1"], "optimizer: Invalid weight_decay value: -1"),
        ("train", ["train.mixed_precision=fp16"], "train.mixed_precision=fp16 needs a GPU"),
        ("train", ["early_stopping=dev_prompts", "early_stopping.patience=0"], "early_stopping.patience=0: expected 1"),
        ("train", ["early_stopping=dev_prompts", "metric_models=public"], "python -m src.commands.fetch"),
        ("train", ["device=tpu"], "device='tpu': expected null, cuda, mps or cpu"),
        ("train", ["tracker=unicorn"], "tracker=unicorn: no such choice, expected one of clearml, none, tensorboard"),
        ("train", ["model.id=nowhere"], "model 'nowhere': no such folder"),
        ("train", ["model=sd15"], "python -m src.commands.fetch"),
        ("train", ["exp.config_path=nowhere.yaml"], "exp.config_path: no such file: nowhere.yaml"),
        ("generate", ["inferencer.ckpt_dir=nowhere"], "inferencer.ckpt_dir=nowhere: expected an adapter's"),
        (
            "generate",
            ["inferencer.ckpt_dir=null"],
            "override 'inferencer.ckpt_dir=null': inferencer.ckpt_dir: null, expected a value",
        ),
        ("generate", ["model=sdxl"], "python -m src.commands.fetch"),
        ("generate", ["validation_args.guidance_scale=-1"], "validation_args.guidance_scale=-1.0: expected a number"),
        ("generate", ["validation_args.guidance_scale=nan"], "validation_args.guidance_scale=nan: expected a number"),
        ("generate", ["validation_args.num_inference_steps=5000"], "expected 1 to 1000"),
        ("generate", ["validation_args.dtype=int8"], "validation_args.dtype=int8: expected one of fp32, bf16, fp16"),
        ("generate", ["sampler.class_name=AutoencoderKL"], "no such scheduler in diffusers"),
        ("generate", ["model.resolution=63"], "model.resolution=63: expected a multiple of 16"),
        ("inference", ["prompt=''"], "prompt='': expected what is to be generated"),
        ("class_images", ["prior.weight=1", "prior.num_images=0"], "prior.num_images=0: expected 1 or more"),
        ("class_images", ["prior.weight=1", "prior.num_inference_steps=0"], "prior.num_inference_steps=0"),
        (
            "evaluate",
            ["inference_metrics=[unicorn]"],
            "unknown unicorn; known are clip_i, clip_t, dino, div_lpips",
        ),
        ("evaluate", ["inference_metrics=[]"], "expected at least one metric"),
        ("evaluate", ["inference_metrics=[{}]"], "inference_metrics[0]={}: expected str"),
        ("evaluate", ["evaluate.batch_size=0"], "evaluate.batch_size=0: expected 1 or more"),
        ("evaluate", ["metric_models=public"], "python -m src.commands.fetch"),
    ],
)
def test_override_is_refused_before_any_model_loads(refused, no_model, stage, overrides, message):
    assert message in refused(stage, *overrides)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("stage", ["train", "generate", "evaluate"])
def test_cuda_without_a_gpu_is_refused(refused, no_model, stage):
    assert "device=cuda, but torch sees no CUDA device" in refused(stage, "device=cuda")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: many\n", "f.yaml: seed: Value 'many' of type 'str' could not be converted to Integer"),
        ("lrr: 1\n", "f.yaml: unknown key lrr"),
        ("train: {stepz: 3}\n", "f.yaml: unknown key train.stepz"),
        ("subject: unicorn\n", "subject=unicorn: no such choice"),
        ("train: {steps: 3\n", "f.yaml, line 2: not valid YAML"),
        ('subject: {token: "${x:-\\"y\\"}"}', "f.yaml: subject.token: not a reference to another key"),
        ("lr: 1\nlr: 2\n", "f.yaml, line 2: not valid YAML: found duplicate key lr"),
        ("- lr\n", "f.yaml: expected a mapping of keys to values"),
        ("5: 3\n", "f.yaml: expected a mapping of keys to values"),
        ("\0", "f.yaml: not a YAML file"),
    ],
)
def test_file_is_refused_by_name_and_key(spoiled, refused, no_model, text, message):
    (spoiled / "f.yaml").write_text(text)
    assert message in refused("train", "exp.config_path=f.yaml")
