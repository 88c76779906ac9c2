import pytest

from src.core.building import build
from src.core.config import load_config, load_settings
from src.core.digest import CONFIGS
from src.core.pretraining_config import load_pretraining_config
from src.core.quoting import quote_words, quoted

TEXTS = [
    "a toy, on the moon",
    "it's a [toy] {x}: 50%",
    "a=b",
    'say "hi"',
    r"back\slash",
    "plain",
    "игрушка на столе",
    "<sks> ~ (кот), [x]; {y} = $HOME",
    "[toy] [hat]!",
    "[cat|dog] in the [snow]",
    "[Tom's toy] on [Ann's mat]",
    "{subject}",
    "{a cat, red}",
    "[",
    "ends with a backslash\\",
    "'half",
    "${oc.env:HOME} and \\${x}",
    "  spaces  ",
    "123",
    "true",
    "Фото/мой кот №1 #2",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_names_and_paths_are_taken_as_they_are(text):
    """Keys that are null by default, texts, a chosen group's own, and what refers to one of them."""
    keys = (
        "prompt",
        "exp.run_dir",
        "inferencer.ckpt_dir",
        "model.id",
        "subject.token",
        "report.title",
        "wandb.log_dir",
    )
    words = [f"{key}={text}".replace("wandb.", "tracker.wandb.") for key in keys]
    config = load_config(["tracker=wandb", *words])
    found = [config.prompt, config.exp.run_dir, config.inferencer.ckpt_dir, config.model.id, config.subject.token]
    assert [*found, config.report.title, config.tracker.wandb.log_dir] == [text] * 7
    assert config.caption.prefix == f"a photo of {text} bear"


def test_a_list_of_prompts_is_a_list():
    found = load_config(["prompt=[a toy's hat: 50%, 'a toy, red', \"it's\",  кот (на столе)]", "seeds=[1,2]"])
    assert list(found.prompt) == ["a toy's hat: 50%", "a toy, red", "it's", "кот (на столе)"]
    assert list(found.seeds) == [1, 2]
    assert list(load_config(["prompt=[]"]).prompt) == []
    assert list(load_config(["prompt=[one]"]).prompt) == ["one"]
    assert list(load_config(["prompt=[Tom's [red] hat, 'a ]', it's]"]).prompt) == ["Tom's [red] hat", "a ]", "it's"]
    assert load_config(["prompt='[toy]'"]).prompt == "[toy]"
    assert load_config(["exp.run_dir=[1]", "exp.config_path=null"]).exp.run_dir == "[1]"


def test_a_configuration_file_and_data_lie_anywhere(tmp_path):
    folder = tmp_path / "мои [файлы], ~x=1 <sks>"
    folder.mkdir()
    (folder / "мой.yaml").write_text("seed: 7\ntracker: wandb\n")
    config = load_config([f"exp.config_path={folder / 'мой.yaml'}", "tracker.wandb.log_dir=журнал, 1"])
    assert (config.seed, config.tracker.wandb.log_dir) == (7, "журнал, 1")
    (folder / "gan.yaml").write_text((CONFIGS / "scratch/small_gan.yaml").read_text())
    scratch = load_pretraining_config(
        "pretraining", [f"exp.config_path={folder / 'gan.yaml'}", f"train_data.folder={folder}"]
    )
    assert (scratch.train_data["folder"], scratch.val_data["folder"]) == (str(folder), str(folder))


def test_the_home_folder_begins_a_path_and_no_text(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = load_config(["exp.run_dir=~/runs, 1", "model.id=~/sd", "prompt=~/x", "report.title=~"])
    assert (config.exp.run_dir, config.model.id) == ("/home/me/runs, 1", "/home/me/sd")
    assert (config.prompt, config.report.title) == ("~/x", "~")


def test_the_home_folder_begins_a_path_of_a_file_too(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "f.yaml").write_text("model: {id: ~/sd}\nprompt: ~/x\ntracker: {tensorboard: {log_dir: ~/logs}}\n")
    config = load_config([f"exp.config_path={tmp_path}/f.yaml"])
    assert (config.model.id, config.prompt) == ("/home/me/sd", "~/x")
    assert config.tracker.tensorboard.log_dir == "/home/me/logs"
    scratch = (CONFIGS / "scratch/small_gan.yaml").read_text()
    (tmp_path / "gan.yaml").write_text(scratch.replace("folder: data/", "folder: ~/", 1))
    found = load_pretraining_config("pretraining", [f"exp.config_path={tmp_path}/gan.yaml"]).train_data["folder"]
    assert found.startswith("/home/me/")


@pytest.mark.parametrize("text", ["a ${b} [c]", r"\\${x} \y", "${oc.env:HOME}"])
def test_a_part_gets_a_text_as_it_was_typed(text):
    built = build(load_settings(["tracker=wandb", f"tracker.wandb.project={text}"]).tracker["wandb"], "tracker.wandb")
    assert built._project == text


def test_a_training_from_noise_gets_a_text_as_it_was_typed():
    words = [f"exp.config_path={CONFIGS}/scratch/small_gan.yaml", "train_data.folder=a ${b}"]
    assert load_pretraining_config("pretraining", words).train_data["folder"] == "a ${b}"


def test_null_lists_and_quotes_of_ones_own_keep_their_meaning():
    words = ["prompt=null", "report.title='a, b'", "inference_metrics=[clip_t]", "train.sample_prompts=['a, b',c]"]
    config = load_config([*words, "lr=1e-4", "model.revision=null", "subject.class_name="])
    assert (config.prompt, config.report.title, config.inference_metrics) == (None, "a, b", ["clip_t"])
    assert (config.train.sample_prompts, config.lr, config.subject.class_name) == (["a, b", "c"], 1e-4, "")


@pytest.mark.parametrize("word", ["prompt=null", "prompt='a, b'", "lr=1e-4", "prompt=", "a=[1]", "prompt"])
def test_other_overrides_are_not_quoted(word):
    assert quote_words([word], {"prompt", "a"}, {"a"}) == [word]


def test_what_is_quoted_once_is_not_quoted_again():
    for text in TEXTS:
        word = f"prompt={quoted(text)}"
        assert quote_words([word], {"prompt"}) == [word]
