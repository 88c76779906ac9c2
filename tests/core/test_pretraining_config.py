import pytest

from src.core.building import check_class
from src.core.digest import CONFIGS, PRETRAINING, configs_digest
from src.core.errors import ConfigError
from src.core.nested import flatten
from src.core.pretraining_config import load_pretraining_config, shown_pretraining_config, trains_from_noise
from src.core.typed import plain

FILES = sorted((CONFIGS / "scratch").rglob("*.yaml"))
NAMES = [path.relative_to(CONFIGS / "scratch").with_suffix("").as_posix() for path in FILES]


def words(name, *more):
    return [f"exp.config_path={CONFIGS}/scratch/{name}.yaml", *more]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_loads_and_names_what_exists(name):
    config = load_pretraining_config("pretraining", words(name))
    assert config.task["_target_"].endswith("Task")
    for name, value in flatten(plain(config)).items():
        if name.endswith("_target_"):
            check_class(name, value)


def test_the_command_line_lies_over_the_file_and_the_file_over_the_root():
    config = load_pretraining_config("pretraining", words("tabletop/vae", "train.lr=3e-4", "task.terms.kl=1e-5"))
    assert (config.train.lr, config.task["terms"]["kl"]) == (3e-4, 1e-5)
    assert config.train.batch_size == 64
    assert config.train.ema_decay == 0.999


def test_another_class_brings_its_own_arguments():
    config = load_pretraining_config("pretraining", words("small_gan"))
    assert config.lr_schedule == {"_target_": "src.training.schedules.ConstantSchedule", "warmup_steps": 0}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("train.stepz=3", "stepz"),
        ("train.steps=many", "train.steps: Value 'many' of type 'str' could not be converted to Integer"),
        ("task=null", "task: null, expected a value"),
        ("train.steps=[", "train.steps"),
    ],
)
def test_what_is_wrong_is_named(more, message):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_pretraining_config("pretraining", words("tabletop/vae", more))


def test_a_missing_file_and_an_unknown_section_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_pretraining_config("pretraining", ["exp.config_path=nowhere.yaml"])
    (tmp_path / "own.yaml").write_text("task: {_target_: x}\nother: 1\n")
    with pytest.raises(ConfigError, match="other"):
        load_pretraining_config("pretraining", [f"exp.config_path={tmp_path}/own.yaml"])


def test_train_py_tells_both_kinds_apart(tmp_path):
    (tmp_path / "adapter.yaml").write_text("lr: 1e-4\n")
    assert trains_from_noise(words("gan" if "gan" in NAMES else NAMES[0]))
    assert not trains_from_noise([f"exp.config_path={tmp_path}/adapter.yaml", "lr=1"])
    assert not trains_from_noise([])
    assert not trains_from_noise(["exp.config_path=nowhere.yaml"])


def test_params_yaml_does_not_depend_on_training_from_noise(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1")
    before = configs_digest(tmp_path)
    (tmp_path / PRETRAINING[0]).mkdir()
    (tmp_path / PRETRAINING[0] / "b.yaml").write_text("b: 1")
    (tmp_path / PRETRAINING[1]).write_text("c: 1")
    assert configs_digest(tmp_path) == before
    (tmp_path / "d.yaml").write_text("d: 1")
    assert configs_digest(tmp_path) != before


def test_checkpoint_path_is_the_model_that_a_task_starts_from(tmp_path):
    (tmp_path / "run/model").mkdir(parents=True)
    for path, start in ((tmp_path / "run", tmp_path / "run/model"), (tmp_path / "other", tmp_path / "other")):
        config = load_pretraining_config("pretraining", words("diffusion", f"train.checkpoint_path={path}"))
        assert config.task["start"] == str(start)
        assert not hasattr(config.train, "checkpoint_path")
    assert load_pretraining_config("pretraining", words("diffusion")).task["start"] is None
    with pytest.raises(ConfigError, match="GanTask cannot start from a saved model"):
        load_pretraining_config("pretraining", words("gan", f"train.checkpoint_path={tmp_path}/run"))


def test_two_folders_are_two_keys():
    one = load_pretraining_config("pretraining", words("gan", "train_data.folder=a"))
    assert (one.val_data["folder"], one.train_data["val_fraction"], one.val_data["val_fraction"]) == ("a", 0.1, 0.1)
    two = load_pretraining_config("pretraining", words("gan", "train_data.folder=a", "val_data.folder=b"))
    assert (two.train_data["val_fraction"], two.val_data["val_fraction"]) == (0.0, 1.0)


def test_trackers_are_those_of_the_pipeline(tmp_path):
    assert load_pretraining_config("pretraining", words("gan")).tracker == {}
    several = load_pretraining_config(
        "pretraining", words("gan", "tracker=[tensorboard,wandb]", "tracker.wandb.offline=true")
    ).tracker
    assert list(several) == ["tensorboard", "wandb"]
    assert (several["wandb"]["offline"], several["wandb"]["project"]) == (True, "pretraining")
    own = (CONFIGS / "scratch/gan.yaml").read_text() + "tracker: tensorboard\n"
    (tmp_path / "own.yaml").write_text(own)
    file = f"exp.config_path={tmp_path}/own.yaml"
    named = load_pretraining_config("pretraining", [file, "tracker.tensorboard.log_dir=elsewhere"]).tracker
    assert named["tensorboard"]["log_dir"] == "elsewhere"
    assert load_pretraining_config("pretraining", [file, "tracker=none"]).tracker == {}
    with pytest.raises(ConfigError, match="tracker=mlflow: no such choice, expected one of clearml"):
        load_pretraining_config("pretraining", words("gan", "tracker=mlflow"))


def test_without_a_file_help_shows_what_all_tasks_share_and_a_run_names_the_files():
    assert shown_pretraining_config(["train.steps=3"]).exp.run_dir == "outputs/scratch"
    assert shown_pretraining_config(words("gan", "train.steps=3")).train.steps == 3
    with pytest.raises(ConfigError, match=r"says what to train; in configs/scratch there are .*gan\.yaml"):
        load_pretraining_config("pretraining", ["train.steps=3"])
