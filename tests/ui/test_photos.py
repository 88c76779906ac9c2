"""Dropped photos."""

import errno
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from src.core.errors import BadPhotoError
from src.ui.photos import Received, clean_name, photos_here, receive, set_aside


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def photo(colour, kind="PNG"):
    stream = BytesIO()
    Image.new("RGB", (48, 32), colour).save(stream, kind)
    return stream.getvalue()


def heic():
    from pillow_heif import from_pillow

    stream = BytesIO()
    from_pillow(Image.effect_noise((64, 64), 50).convert("RGB")).save(stream)
    return stream.getvalue()


def files():
    return sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("IMG_1.HEIC", "IMG_1.HEIC"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\my toy (1).jpg", "my-toy-1.jpg"),
        ("..", "photo"),
        ("", "photo"),
        ("/", "photo"),
        (".hidden.png", "hidden.png"),
        ("-rf.png", "rf.png"),
        ("мишка 1.jpg", "мишка-1.jpg"),
        ("a\u202egnp.exe\n\0.png", "a-gnp-exe.png"),
        ("x" * 300 + ".png", "x" * 80 + ".png"),
        ("\U00020000" * 80 + ".png", "\U00020000" * 50 + ".png"),
    ],
)
def test_a_name_is_a_plain_one(name, clean):
    assert clean_name(name) == clean


def test_photos_go_to_data_raw_and_nothing_is_overwritten():
    assert receive("a.png", photo("red"), 256) == Received("a.png", False)
    assert receive("../a.png", photo("blue"), 256) == Received("a-2.png", False)
    assert receive("x/a.png", photo("green"), 256) == Received("a-3.png", False)
    assert receive("other.png", photo("blue"), 256) == Received("a-2.png", True)
    assert receive("b.heic", heic(), 256) == Received("b.heic", False)
    assert files() == [f"data/raw/{name}" for name in ("a-2.png", "a-3.png", "a.png", "b.heic")]
    assert Path("data/raw/a.png").read_bytes() == photo("red")
    assert photos_here() == ["a-2.png", "a-3.png", "a.png", "b.heic"]


@pytest.mark.parametrize("reason", [errno.EXDEV, errno.EPERM])
def test_photos_come_to_a_folder_on_another_disk(monkeypatch, reason):
    def refuse(source, target):
        raise OSError(reason, "no links here", str(target))

    monkeypatch.setattr("os.link", refuse)
    names = [receive("a.png", photo(colour), 256).name for colour in ("red", "blue")]
    assert names == ["a.png", "a-2.png"]
    assert [Path("data/raw", name).read_bytes() for name in names] == [photo("red"), photo("blue")]
    assert files() == ["data/raw/a-2.png", "data/raw/a.png"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.png", b"", r"empty\.png: an empty file, or over 256 MiB"),
        ("page.png", b"<html>", r"page\.png: .*expected HEIC"),
        ("moving.gif", b"GIF89a" + bytes(40), r"moving\.gif: a GIF"),
        ("cut.jpg", photo("red", "JPEG")[:300], r"cut\.jpg: "),
        ("\u202etxt.png", b"hello", r"\\u202etxt\.png: "),
    ],
)
def test_what_is_no_photo_is_refused_by_its_name(name, data, reason):
    with pytest.raises(BadPhotoError, match=reason):
        receive(name, data, 256)
    assert files() == []


def test_a_photo_that_is_too_large_is_refused():
    with pytest.raises(BadPhotoError, match=r"a\.png: .*megapixel"):
        receive("a.png", photo("red"), 0.001)


def test_photos_are_set_aside_and_none_is_lost():
    with pytest.raises(BadPhotoError, match="no photos"):
        set_aside()
    for number in (1, 2):
        receive("a.png", photo("red"), 256)
        assert set_aside() == Path(f"outputs/set_aside/{number}")
        assert photos_here() == []
    assert files() == ["outputs/set_aside/1/a.png", "outputs/set_aside/2/a.png"]
