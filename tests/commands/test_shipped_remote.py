"""The remote that comes with the project gives its objects to everybody and takes none."""

import configparser
import shutil
from pathlib import Path

import pytest
from dvc.exceptions import CheckoutError, UploadError
from dvc.repo import Repo

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / ".dvc/config"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A DVC repository with the shipped remote, that holds data/raw with one photo, and nothing in the cache."""
    (tmp_path / "sub/folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True)
    shipped = configparser.ConfigParser()
    shipped.read(SHIPPED)
    settings = shipped["'remote \"storage\"'"]
    config = "[core]\n    no_scm = true\n    remote = storage\n    analytics = false\n" + "\n".join(
        ["['remote \"storage\"']", *(f"    {key} = {value}" for key, value in settings.items())]
    )
    (tmp_path / ".dvc/config").write_text(
        config + "\n['remote \"storage-write\"']\n    url = ../dvc_storage\n    verify = true\n"
    )
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/sample.jpg").write_bytes(b"a sample")
    with Repo() as repo:
        repo.add("data/raw")
        repo.push(remote="storage-write")
    forget(tmp_path)
    return tmp_path


def forget(project):
    for folder in (".dvc/cache", "data/raw"):
        shutil.rmtree(project / folder)


def objects(project):
    return sorted(path.relative_to(project) for path in (project / "dvc_storage").rglob("*") if path.is_file())


@pytest.mark.parametrize("folder", [".", "sub/folder"])
def test_shipped_remote_can_be_pulled_from_and_not_pushed_to(project, monkeypatch, folder):
    shipped = objects(project)
    monkeypatch.chdir(project / folder)
    with Repo() as repo:
        repo.pull()
    assert (project / "data/raw/sample.jpg").read_bytes() == b"a sample"
    (project / "data/raw/mine.jpg").write_bytes(b"my photo")
    with Repo(project) as repo:
        repo.add(str(project / "data/raw"))
        with pytest.raises(UploadError):
            repo.push()
    assert objects(project) == shipped
    assert b"my photo" not in [path.read_bytes() for path in project.glob("dvc_storage/**/*") if path.is_file()]


def test_shipped_remote_with_a_damaged_object_is_refused(project):
    (photo,) = [path for path in objects(project) if path.suffix != ".dir"]
    with (project / photo).open("ab") as stream:
        stream.write(b"x")
    with Repo() as repo, pytest.raises(CheckoutError):
        repo.pull()
    assert not (project / "data/raw/sample.jpg").exists()


def test_shipped_remote_is_the_default_and_the_only_one():
    shipped = configparser.ConfigParser()
    shipped.read(SHIPPED)
    assert [name for name in shipped.sections() if "remote" in name] == ["'remote \"storage\"'"]
    assert shipped["core"]["remote"] == "storage"
