"""What a person types, what may be served, and how an error becomes one line."""

import asyncio
import re
import socket
import sys
from pathlib import Path

import pytest

from src.commands import ui as command
from src.commands.ui import bind
from src.core import own_choices
from src.core.errors import ConfigError
from src.ui import choices
from src.ui.choices import changed_words, keep_choices, read_offer, subject_words
from src.ui.guard import Guard
from src.ui.studio import Source

pytest.importorskip("nicegui", reason="the page's packages are not installed: requirements-ui.txt")
from src.ui.page import kept_file
from src.ui.trying import read_wish, scores_html
from src.ui.workshop import attempt

EMPTY = {
    "seeds": "1, 2;3",
    "steps": None,
    "guidance": None,
    "sampler": None,
    "negative": "",
    "photos": "",
    "together": 0,
}


def form(**values):
    return {"prompt": "a bear", **EMPTY, **values}


def test_a_form_becomes_a_wish():
    wish = read_wish(form(), [("a", 1.0), ("", 1.0), ("b ", 0.5)])
    assert (wish.seeds, wish.settings, wish.together) == ((1, 2, 3), {}, False)
    assert wish.sources == (Source("a", 1.0), Source("b", 0.5))
    wish = read_wish(form(steps=4.0, guidance=2.5, sampler="ddim", negative="blurry", photos="p", together=True), [])
    assert wish.settings == {
        "num_inference_steps": 4,
        "guidance_scale": 2.5,
        "sampler": "ddim",
        "negative_prompt": "blurry",
    }
    assert (wish.photos, wish.together) == ("p", True)


@pytest.mark.parametrize("seeds", ["", "one", "-1", "1.5", "1 2 x", None])
def test_seeds_that_are_none_are_refused(seeds):
    with pytest.raises(ConfigError, match="seeds="):
        read_wish(form(seeds=seeds), [])


def test_an_adapter_twice_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        read_wish(form(), [("a", 1.0), ("a", 1.0)])


def test_scores_are_named_and_rounded():
    assert scores_html({"clip_t": 0.25, "div_lpips": 1.0, "dino": -0.00001}) == (
        "<span>likeness</span><span>0.000</span><span>prompt fidelity</span><span>0.250</span>"
    )


def test_what_a_person_changed_becomes_words_and_is_kept(tmp_path, monkeypatch):
    mine = tmp_path / "mine.yaml"
    mine.write_text(own_choices.HEADER + "{}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(choices, "set_choices", lambda words: own_choices.set_choices(words, mine))
    offer = read_offer()
    now = {"model": offer.model, "subject": "", "token": offer.token, "class_name": offer.class_name}
    assert changed_words(offer, now, "\n") == []
    assert keep_choices([]) == []
    assert subject_words("dog")[1] == "dog"
    dog = {**now, "subject": "dog", "class_name": "dog"}
    dog["token"] = subject_words("dog")[0]
    assert changed_words(offer, dog, "") == ["subject=dog"]
    words = changed_words(offer, {**dog, "token": "ohwx"}, " lr=1e-3 \n")
    assert words == ["subject=dog", "subject.token='ohwx'", "lr=1e-3"]
    assert keep_choices(words) == ["subject=dog", "subject.token=ohwx", "lr=0.001"]
    assert Path("params.yaml").is_file()
    with pytest.raises(ConfigError, match="rnak"):
        keep_choices(["rnak=3"])


def test_only_kept_pictures_are_served(tmp_path):
    folder = tmp_path / "kept"
    (folder / "step-1/a-bear").mkdir(parents=True)
    (folder / "step-1/a-bear/1-ab.png").write_bytes(b"png")
    (folder / "step-1/a-bear/manifest.csv").write_text("")
    (tmp_path / "out.png").write_bytes(b"other")
    (folder / "step-1/a-bear/link.png").symlink_to(tmp_path / "out.png")
    assert kept_file("step-1/a-bear/1-ab.png", folder) == folder / "step-1/a-bear/1-ab.png"
    others = ("step-1/a-bear/manifest.csv", "step-1/a-bear/link.png", "step-1/../../out.png", "../kept/x.png", "")
    assert [kept_file(path, folder) for path in (*others, "./../out.png", "/etc/x/y.png")] == [None] * 7


def test_the_guard_lets_its_own_page_in():
    answered = []

    async def inner(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        answered.append(message)

    def ask(kind="http", **headers):
        answered.clear()
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        asyncio.run(Guard(inner, 80)({"type": kind, "headers": pairs}, None, send))
        return answered[0].get("status", answered[0].get("code"))

    assert ask(host="127.0.0.1:80") == 200
    assert next(name for name, _ in answered[0]["headers"]) == b"content-security-policy"
    assert (b"cross-origin-resource-policy", b"same-origin") in answered[0]["headers"]
    assert ask(host="localhost:80", origin="http://127.0.0.1:80") == 200
    for headers in ({"host": "evil:80"}, {"host": "127.0.0.1:81"}, {"host": "localhost:80", "origin": "null"}, {}):
        assert ask(**headers) == 403
        assert ask("websocket", **headers) == 1008


def test_an_error_of_a_person_is_one_line_and_another_is_none():
    def raising(error):
        raise error

    said = []
    assert asyncio.run(attempt(said.append, raising, ConfigError("lr=x: expected a number"))) is None
    assert asyncio.run(attempt(said.append, raising, PermissionError(13, "no", "data/raw"))) is None
    assert said == ["", "lr=x: expected a number", "", "no permission: data/raw"]
    with pytest.raises(ZeroDivisionError):
        asyncio.run(attempt(said.append, raising, ZeroDivisionError()))


def test_nothing_but_the_page_knows_its_library():
    root = Path(command.__file__).parents[1]
    using = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"^\s*(from|import) (nicegui|fastapi|starlette|uvicorn|src\.ui)\b", path.read_text(), re.M)
    }
    assert {"commands/ui.py", "ui/page.py"} <= using
    assert not [name for name in using if name != "commands/ui.py" and not name.startswith("ui/")]


def test_a_port_that_is_taken_is_refused_in_one_line():
    with bind(0) as taken:
        host, port = taken.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(ConfigError, match="--port"):
            bind(port)
    with pytest.raises(ConfigError, match="--port"):
        bind(99999)


def test_a_wrong_override_is_refused_before_the_page_is_there(monkeypatch, capsys):
    monkeypatch.setattr(command, "bind", None)
    monkeypatch.setattr(sys, "argv", ["ui", "device=cpu", "--no-browser", "nonsense=1"])
    with pytest.raises(SystemExit):
        command.main()
    assert "ui: override 'nonsense=1': unknown key nonsense" in capsys.readouterr().err


def test_without_the_packages_one_line_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(command, "find_spec", {}.get)
    monkeypatch.setattr(sys, "argv", ["ui", "--no-browser"])
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(SystemExit):
        command.main()
    assert capsys.readouterr().err.strip() == (
        "ui: the page's packages are not installed: `make ui` installs them and opens the page"
    )
