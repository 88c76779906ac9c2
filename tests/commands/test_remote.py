"""`remote init` and `remote audit` against real servers on loopback, with a push that was cut."""

import importlib.util
import shutil
import time
from base64 import b64encode
from pathlib import Path

import pytest
from dvc.exceptions import DownloadError
from dvc.repo import Repo

from src.commands.remote import audit_remote, init, run
from src.core.errors import ConfigError
from src.core.remotes import unverified_remotes
from src.stages.check import check_remotes
from tests.commands.servers import cut_put, s3_server, sftp_server, webdav_server

PHOTO = b"a photo" * 10_000
LOGIN = {"user": "someone", "password": "secret_word"}


def needs(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A DVC repository whose data/raw has two photos, one of them large enough to be cut."""
    project = tmp_path / "project"
    (project / "data/raw").mkdir(parents=True)
    monkeypatch.chdir(project)
    Repo.init(no_scm=True)
    (project / "data/raw/one.jpg").write_bytes(PHOTO)
    (project / "data/raw/two.jpg").write_bytes(b"another")
    with Repo() as repo:
        repo.add("data/raw")
    return project


def large_object(project):
    """Returns the name of the large photo's object in DVC's cache."""
    (path,) = [p for p in (project / ".dvc/cache/files/md5").rglob("*") if p.is_file() and p.read_bytes() == PHOTO]
    return f"{path.parent.name}/{path.name}"


def check_secrets(project):
    assert "secret_word" not in (project / ".dvc/config").read_text()
    assert "secret_word" in (project / ".dvc/config.local").read_text()
    assert (project / ".dvc/config.local").stat().st_mode & 0o077 == 0


def forget(project):
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project / "data/raw")


def check_mended(project, capsys):
    """The large photo is damaged in the default remote: it is named, mended and pulled."""
    with Repo() as repo:
        lines = audit_remote(repo, None, False)
        assert len(lines) == 1
        assert lines[0].startswith("data/raw/one.jpg: ")
        assert "2 objects whole, 1 damaged, 0 not there" in capsys.readouterr().out
        assert audit_remote(repo, None, True)[0].endswith("; deleted and pushed again")
        assert audit_remote(repo, None, False) == []
    forget(project)
    with Repo() as repo:
        repo.pull()
    assert (project / "data/raw/one.jpg").read_bytes() == PHOTO


def test_folder_remote_is_made_verified_and_mended(project, capsys):
    root = project.parent / "backup/deep"
    assert run(["init", "mine", str(root)]) == 0
    assert unverified_remotes(project) == []
    with Repo() as repo:
        assert repo.config["core"]["remote"] == "mine"
        repo.push()
    (root / "files/md5" / large_object(project)).chmod(0o644)
    (root / "files/md5" / large_object(project)).write_bytes(PHOTO[:-1] + b"x")
    assert run(["audit"]) == 1
    assert "MD5" in capsys.readouterr().out
    check_mended(project, capsys)


def test_damaged_object_without_a_whole_copy_is_deleted_and_said(project):
    root = project.parent / "backup"
    run(["init", "mine", str(root)])
    with Repo() as repo:
        repo.push()
        forget(project)
        (root / "files/md5").joinpath(large_object_of(root)).write_bytes(b"cut")
        (line,) = audit_remote(repo, "mine", True)
    assert "no whole copy" in line
    with Repo() as repo, pytest.raises(DownloadError):
        repo.pull()


def large_object_of(root):
    (path,) = [p for p in (root / "files/md5").rglob("*") if p.is_file() and p.read_bytes() == PHOTO]
    path.chmod(0o644)
    return path.relative_to(root / "files/md5")


@needs("dvc_webdav", "wsgidav", "cheroot")
def test_webdav_object_of_a_cut_push_is_named_and_mended(project, capsys):
    served = project.parent / "served"
    served.mkdir()
    with webdav_server(served) as url:
        address = url.replace("://", "://someone:secret_word@") + "/people/me"
        with Repo() as repo:
            init(repo, "mine", address, {})
        check_secrets(project)
        port, oid = int(url.rsplit(":", 1)[1]), large_object(project)
        (served / f"people/me/files/md5/{oid[:2]}").mkdir(parents=True)
        login = "Basic " + b64encode(b"someone:secret_word").decode()
        cut_put(port, f"/people/me/files/md5/{oid}", PHOTO, login)
        truncated = served / "people/me/files/md5" / oid
        deadline = time.monotonic() + 20
        while not (truncated.is_file() and 0 < truncated.stat().st_size < len(PHOTO)):
            assert time.monotonic() < deadline, "the server has not stored what came"
            time.sleep(0.05)
        with Repo() as repo:
            repo.push()
        assert truncated.stat().st_size < len(PHOTO), "DVC takes what is there for good; if not, audit is not needed"
        check_mended(project, capsys)


@needs("dvc_webdav", "wsgidav", "cheroot")
def test_webdav_with_a_wrong_password_is_one_line_and_configures_nothing(project):
    before = (project / ".dvc/config").read_text()
    (project.parent / "served").mkdir()
    with webdav_server(project.parent / "served") as url, Repo() as repo, pytest.raises(ConfigError) as caught:
        init(repo, "mine", f"{url}/me", LOGIN | {"password": "wrong_word"})
    assert "cannot be used" in str(caught.value)
    assert "wrong_word" not in str(caught.value)
    assert (project / ".dvc/config").read_text() == before


@needs("dvc_ssh")
def test_ssh_remote_is_made_and_mended(project, capsys):
    served = project.parent / "served"
    served.mkdir()
    with sftp_server(served) as port:
        with Repo() as repo:
            init(repo, "mine", "ssh://127.0.0.1/people/me", LOGIN | {"port": str(port)})
        check_secrets(project)
        with Repo() as repo:
            repo.push()
        (served / "people/me/files/md5" / large_object(project)).write_bytes(PHOTO[:1000])
        check_mended(project, capsys)


@needs("dvc_s3", "moto", "flask")
def test_s3_bucket_is_made_and_mended(project, capsys, monkeypatch):
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    with s3_server() as url:
        keys = {"access_key_id": "someone", "secret_access_key": "secret_word"}
        with Repo() as repo:
            init(repo, "mine", "s3://bucket/me", keys | {"endpointurl": url})
        check_secrets(project)
        with Repo() as repo:
            repo.push()
        key = f"me/files/md5/{large_object(project)}"
        boto3.client("s3", endpoint_url=url).put_object(Bucket="bucket", Key=key, Body=PHOTO[:1000])
        check_mended(project, capsys)


def test_remote_of_the_project_is_not_replaced(project):
    with Repo() as repo, pytest.raises(ConfigError, match="read-only"):
        init(repo, "storage", str(project.parent / "x"), {})


@pytest.mark.parametrize("words", [[], ["audit", "a", "b"], ["init", "mine"], ["init", "mine", "x", "y"]])
def test_remote_with_other_words_says_how_it_is_used(project, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(words)
    assert capsys.readouterr().err.startswith("usage: python -m src.commands.remote")


def test_check_refuses_a_remote_without_verify(project):
    config = project / ".dvc/config"
    config.write_text(
        "[core]\n    no_scm = true\n['remote \"a\"']\n    url = /x\n['remote \"b\"']\n    url = remote://a/y\n"
    )
    with pytest.raises(ConfigError, match=r"a, b .*`dvc remote modify a verify true`"):
        check_remotes(project)
    (project / ".dvc/config.local").write_text("['remote \"a\"']\n    verify = true\n")
    check_remotes(project)


def test_remotes_of_the_project_are_verified():
    assert unverified_remotes(Path(__file__).resolve().parents[2]) == []
