"""The real ClearML client: offline, unconfigured, without a server, with a stand-in, with one that dies."""

import importlib
import json
import socket
import subprocess
import sys
import time
from zipfile import ZipFile

import pandas as pd
import pytest
from PIL import Image

from src.core.errors import TrackerError
from src.trackers.clearml import ClearMLTracker
from src.trackers.multi import start_trackers
from tests.trackers.clearml_stub import StubServer


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A machine without ClearML configuration; the client runs in a child process, which inherits this."""
    for name in ("CLEARML_API_HOST", "CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY", "CLEARML_OFFLINE_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLEARML_CONFIG_FILE", str(tmp_path / "clearml.conf"))
    monkeypatch.setenv("CLEARML_CACHE_DIR", str(tmp_path / "clearml"))
    return tmp_path


def configure(monkeypatch, url):
    for name in ("API", "WEB", "FILES"):
        monkeypatch.setenv(f"CLEARML_{name}_HOST", url)
    monkeypatch.setenv("CLEARML_API_ACCESS_KEY", "key")
    monkeypatch.setenv("CLEARML_API_SECRET_KEY", "secret")


@pytest.fixture
def stub(home, monkeypatch):
    server = StubServer(200)
    configure(monkeypatch, server.url)
    yield server
    server.stop()


def report(tracker, folder):
    (folder / "weights.bin").write_bytes(b"weights")
    tracker.config({"lr": 0.125, "subject": {"token": "sksToy"}})
    tracker.scalars(7, {"train/loss": 0.5})
    tracker.images(7, "samples", [Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8))], ["a toy", "a cup"])
    tracker.table("metrics", pd.DataFrame({"metric": ["dino"]}))
    tracker.artifact("adapter", folder / "weights.bin")


def test_clearml_offline_session_holds_every_report(home):
    tracker = start_trackers([ClearMLTracker("project", True)], "run", 0)
    report(tracker, home)
    tracker.close(60)
    (archive,) = (home / "clearml" / "offline").glob("*.zip")
    with ZipFile(archive) as session:
        names = session.namelist()
        lines = session.read("metrics.jsonl").decode().splitlines()
        task = session.read("task.json").decode()
    events = [event for line in lines for event in json.loads(line)]
    scalars = [(e["metric"], e["variant"], e["iter"], e["value"]) for e in events if "scalar" in e["type"]]
    assert scalars == [("train", "loss", 7, 0.5)]
    assert {e["variant"] for e in events if "image" in e["type"]} == {"00 a toy", "01 a cup"}
    assert any(e["type"] == "plot" and e["metric"] == "metrics" for e in events)
    assert sum(name.endswith(".jpeg") for name in names) == 2
    assert any(name.endswith("weights.bin") for name in names)
    assert "sksToy" in task


def test_clearml_without_configuration_fails_with_what_to_do(home):
    with pytest.raises(TrackerError, match="clearml-init"):
        start_trackers([ClearMLTracker("project", False)], "run", 0)


def test_clearml_with_nobody_listening_fails_at_once(home, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        configure(monkeypatch, url)
        importlib.import_module("clearml.backend_api.session.defs")  # seconds, on a busy machine
        began = time.monotonic()
        with pytest.raises(TrackerError, match=f"{url}/debug.ping"):
            ClearMLTracker("project", False).start("run", 0)
    assert time.monotonic() - began < 6


@pytest.mark.slow
def test_clearml_with_wrong_keys_fails_with_the_servers_answer(home, monkeypatch):
    server = StubServer(401)
    configure(monkeypatch, server.url)
    with pytest.raises(TrackerError, match="401"):
        start_trackers([ClearMLTracker("project", False)], "run", 0)
    server.stop()


def test_clearml_reports_arrive_at_a_server(home, stub):
    tracker = start_trackers([ClearMLTracker("project", False)], "run", 0)
    report(tracker, home)
    tracker.close(30)
    events = stub.bodies("events.add_batch")
    assert '"train"' in events
    assert "00 a toy" in events
    assert "sksToy" in stub.bodies("tasks.edit")
    assert "adapter" in stub.bodies("tasks.edit")
    assert stub.bodies("tasks.completed")


def test_clearml_server_that_dies_costs_no_more_than_the_deadline(home, stub, capsys):
    tracker = start_trackers([ClearMLTracker("project", False)], "run", 0)
    stub.stop()
    began = time.monotonic()
    report(tracker, home)
    assert time.monotonic() - began < 1
    tracker.close(2)
    assert time.monotonic() - began < 4
    assert "tracker clearml: not done after 2 s" in capsys.readouterr().out


@pytest.fixture
def planted(home, monkeypatch):
    """Runs in a git repository whose address, diff, author and folder hold planted words."""
    repository = home / "planted_folder"
    repository.mkdir()
    program = repository / "train.py"
    program.write_text("committed = 1\n")
    for words in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://planted_user:planted_secret@planted_host.example/planted_repository.git"],
        ["add", "."],
        ["-c", "user.name=planted_author", "-c", "user.email=planted_mail", "commit", "-qm", "planted_message"],
    ):
        subprocess.run(["git", *words], cwd=repository, check=True)
    program.write_text("planted_diff = 1\n")
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "argv", [str(program), "lr=1"])
    return ["planted", socket.gethostname(), str(home)]


def test_clearml_offline_session_says_nothing_of_the_machine(home, planted):
    tracker = start_trackers([ClearMLTracker("project", True)], "run", 0)
    report(tracker, home)
    tracker.close(60)
    (archive,) = (home / "clearml" / "offline").glob("*.zip")
    with ZipFile(archive) as session:
        content = {name: session.read(name).decode(errors="replace") for name in session.namelist()}
    for name, text in content.items():
        assert not [word for word in planted if word in name], name
        assert not [word for word in planted if f'{word}"' in text or f"{word}/" in text or "planted" in text], name
    task = json.loads(content["task.json"])
    (artifact,) = task["execution"]["artifacts"]
    assert artifact["uri"] in content
    assert task["offline_folder"] == ""


def test_clearml_server_is_told_nothing_of_the_machine(planted, stub, home):
    tracker = start_trackers([ClearMLTracker("project", False)], "run", 0)
    report(tracker, home)
    tracker.close(30)
    sent = "\n".join(body.decode(errors="replace") for _, body in stub.requests)
    assert "sksToy" in sent
    assert not [word for word in planted if f'{word}"' in sent or f"{word}/" in sent or "planted" in sent]


def test_clearml_password_in_the_address_is_in_no_message(home, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        configure(monkeypatch, f"http://someone:secret_word@{address}")
        with pytest.raises(TrackerError, match=f"http://{address}/debug.ping") as caught:
            ClearMLTracker("project", False).start("run", 0)
    assert "secret_word" not in str(caught.value)
    assert caught.value.__cause__ is None
