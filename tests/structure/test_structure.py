"""Holds the structure: what dvc.yaml declares is what the code imports and reads."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from src.core.building import check_class
from src.core.config import (
    OBSERVERS,
    TRAIN_OBSERVERS,
    compose,
    declared_params,
    load_config,
    load_stage_params,
    to_dict,
)
from src.core.digest import CONFIGS, PRETRAINING
from src.core.errors import ConfigError, StaleParamsError
from src.core.nested import flatten
from src.core.stage_code import write_stage_code, write_tabletop_code
from src.core.typed import plain
from src.stages.config import check_params, guard_params, write_params

ROOT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-remotes.txt", "requirements-ui.txt")


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_stage_has_a_module_of_its_name(stage):
    assert (ROOT / f"src/stages/{stage}.py").is_file()


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"config"}))
def test_every_stage_depends_on_its_code_by_the_file_that_config_writes(stage):
    code = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("src", "data/code")) or dep.endswith(".py")]
    assert code == [f"data/code/{stage}.txt"]


def test_the_code_of_a_stage_holds_what_it_imports_what_its_parameters_name_and_its_script(tmp_path):
    write_stage_code(ROOT / "params.yaml", tmp_path / "code")
    assert {path.stem for path in (tmp_path / "code").iterdir()} == set(STAGES)
    for stage, also in (
        ("convert", {"src.data.photos.decode"}),
        ("train", {"train", "src.training.loop", "src.losses.diffusion", "src.methods.lora", "src.training.schedules"}),
        ("generate", {"inference", "src.stages.sampling_setup", "src.training.determinism"}),
        ("evaluate", {"src.features.dino", "src.features.clip"}),
    ):
        lines = (tmp_path / f"code/{stage}.txt").read_text().splitlines()
        names = {line.split(" ")[1] for line in lines}
        assert also | {f"src.stages.{stage}"} <= names
        assert not {name for name in names if name.startswith("src.trackers")}
        assert all(re.fullmatch(r"[0-9a-f]{64} [a-z0-9_.]+", line) for line in lines)


def test_every_stage_of_the_embedded_world_depends_on_its_code(tmp_path):
    write_tabletop_code(tmp_path / "code")
    text = (ROOT / "tabletop/dvc.yaml").read_text()
    named = set(re.findall(r"tabletop/code/([\w${}-]+)\.txt", text))
    metric_models = {f"model-{name}" for name in ("captioner", "clip", "dino", "lpips", "classifier")}
    assert {path.stem for path in (tmp_path / "code").iterdir()} == (
        named - {"model-${item}"} | metric_models | {"code"}
    )
    assert "src/" not in text
    for stage, module in (
        ("vae", "train"),
        ("vae", "src.pretraining.autoencoder"),
        ("diffusion", "src.models.tokenizers"),
        ("diffusion", "src.losses.diffusion"),
        ("world", "src.tabletop.render"),
    ):
        assert f" {module}\n" in (tmp_path / f"code/{stage}.txt").read_text(), (stage, module)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_declared_parameters_exist(stage):
    config = load_config([])
    for key in declared_params(stage):
        assert OmegaConf.select(config, key, default="missing") != "missing", key


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"config"}))
def test_a_stage_is_given_what_dvc_declares_and_no_more(stage):
    """Reading anything else raises, so that no stage depends on what DVC does not watch."""
    allowed = {*declared_params(stage), *OBSERVERS, *(TRAIN_OBSERVERS if stage == "train" else ())}
    given = flatten(plain(load_stage_params(stage, [])))
    assert given
    for key in given:
        parts = key.split(".")
        assert {".".join(parts[: n + 1]) for n in range(len(parts))} & allowed, key


def test_config_stays_at_the_door():
    """A stage is given plain typed values: objects of Hydra and OmegaConf end in src/core."""
    using = [
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*.py")
        if re.search(r"^\s*(?:from|import) (?:hydra|omegaconf)", path.read_text(), re.M)
    ]
    assert using
    assert not [name for name in using if not name.startswith("core/")]


def yaml_files():
    files = sorted(CONFIGS.rglob("*.yaml"))
    assert len(files) > 20
    return [file.relative_to(CONFIGS) for file in files]


def every_choice():
    """Every file of every group, in no more compositions than the largest group has files."""
    files = [file for file in yaml_files() if len(file.parts) > 1 and file.parts[0] not in PRETRAINING]
    groups = {group: [file.stem for file in files if file.parent == group] for group in {f.parent for f in files}}
    turns = range(max(map(len, groups.values())))
    return [
        [f"{group.as_posix()}={names[turn]}" for group, names in sorted(groups.items()) if turn < len(names)]
        for turn in turns
    ]


@pytest.mark.parametrize("choices", every_choice(), ids=" ".join)
def test_every_choice_composes_and_its_targets_exist(choices):
    config = load_config(choices)
    for name, value in flatten(to_dict(config)).items():
        if name.endswith("_target_"):
            check_class(name, value)


@pytest.mark.parametrize("file", yaml_files(), ids=str)
def test_every_yaml_says_what_it_is(file):
    lines = [line for line in (CONFIGS / file).read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")


def test_no_parameter_has_a_name_that_dvc_leaves_out_of_its_run_cache():
    """dvc.stage.cache hashes a stage without its keys ``size`` and ``nfiles``, parameters included."""
    names = {part for key in flatten(to_dict(load_config([]))) for part in key.split(".")}
    assert not names & {"size", "nfiles"}


def test_params_are_composed_from_configs():
    check_params(ROOT / "params.yaml")


def test_guard_refuses_other_configs_and_unknown_keys(tmp_path):
    path = tmp_path / "params.yaml"
    write_params(path)
    text = path.read_text()
    assert guard_params(path) == []
    path.write_text(text.replace("rank: 16\n", "rank: 8\n", 1))
    assert guard_params(path) == ["override rank=8 (configs/: 16)"]
    with pytest.raises(StaleParamsError, match="rank=8"):
        check_params(path)
    path.write_text(text.replace("configs_digest: ", "configs_digest: x"))
    with pytest.raises(StaleParamsError, match="another configs"):
        guard_params(path)
    path.write_text(text + "lrr: 1\n")
    with pytest.raises(ConfigError, match="lrr"):
        guard_params(path)
    path.write_text(re.sub(r"^rank: 16$", "rank: a lot", text, flags=re.M))
    with pytest.raises(ConfigError, match="rank: Value 'a lot' of type 'str' could not be converted to Integer"):
        guard_params(path)


def test_no_file_over_300_lines():
    files = [p for folder in ("src", "tests", "benchmarks", "configs") for p in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > 300}
    assert not long


def test_no_function_over_50_lines():
    functions = [
        (f"{path.relative_to(ROOT)}: {node.name}", node)
        for folder in ("src", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert len(functions) > 2000
    assert not {name: lines for name, node in functions if (lines := _lines(node)) > 50}


def _lines(function):
    """From its name to its end, without the docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    documented = 0 if docstring is None else docstring.end_lineno - docstring.lineno + 1
    return function.end_lineno - function.lineno + 1 - documented


def test_init_files_are_empty():
    assert not [p for p in (ROOT / "src").rglob("__init__.py") if p.read_text().strip()]


def test_what_is_cheap_starts_without_what_is_not():
    """In one new process, the lightest first: what each brings in, those before it did not."""
    without = {
        "sampling.prompts": {"torch", "hydra", "omegaconf"},
        **{f"stages.{name}": {"torch", "diffusers"} for name in ("config", "convert", "crop", "split", "report")},
        "commands.compare": {"torchvision", "transformers"},
    }
    code = """
import importlib, json, sys
for name, heavy in json.loads(sys.argv[1]).items():
    importlib.import_module(f"src.{name}")
    assert not {*heavy} & {*sys.modules}, f"{name}: {sorted({*heavy} & {*sys.modules})}"
"""
    lists = json.dumps({name: sorted(heavy) for name, heavy in without.items()})
    subprocess.run([sys.executable, "-c", code, lists], check=True, cwd=ROOT)


def test_no_registry_host_or_absolute_path_in_the_lock():
    for name in LOCKS:
        assert "://" not in (ROOT / name).read_text()


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_in_the_lock_is_pinned_and_hashed(name):
    entries = re.split(r"\n(?=[a-z])", re.sub(r"^ *#.*\n", "", (ROOT / name).read_text(), flags=re.M).strip())
    assert len(entries) > 25
    assert not [e for e in entries if not re.match(r"[a-z0-9.-]+==", e) or "--hash=sha256:" not in e]


def test_locks_agree_and_hold_what_is_asked_for():
    pins = {name: dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", (ROOT / name).read_text(), re.M)) for name in LOCKS}
    main = pins["requirements.txt"]
    for name in LOCKS:
        assert not {package for package, version in pins[name].items() if main.get(package, version) != version}
        asked = re.findall(r"^([A-Za-z0-9][A-Za-z0-9_-]*)", (ROOT / name).with_suffix(".in").read_text(), re.M)
        assert not {package for package in asked if package.lower().replace("_", "-") not in pins[name]}


def test_composing_is_repeatable():
    assert compose() == compose()


def test_no_number_is_printed_as_minus_zero():
    """`z` in a format makes -0.00 of a small negative number 0.00."""
    unguarded = re.compile(r"\{[^{}\n]*:[+]?\.\d+f\}")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if unguarded.search(line)
    ]
    assert not found, f"write {{value:z.2f}} in {found}"
    assert f"{-0.0001:+z.2f} {-0.0001:z.2f}" == "+0.00 0.00"


def test_no_stage_depends_on_a_file_of_dvc():
    """DVC refuses every command of such a project."""
    assert not [name for name, stage in STAGES.items() if {"dvc.yaml", "dvc.lock"} & set(stage["deps"])]
