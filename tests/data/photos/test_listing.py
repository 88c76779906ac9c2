"""Listing: every name there is, and nothing dropped in silence."""

import os
import unicodedata

import pytest

from src.core.errors import EmptyDatasetError
from src.data.photos.listing import image_id, list_photos

ODD_NAMES = (
    "-dash.HEIC",
    " space.HEIC",
    "IMG_0001 (1).HEIC",
    "quote'\".jpg",
    "comma,pipe|.jpg",
    "new\nline.jpg",
    "\u0444\u043e\u0442\u043e.jpg",
    "\U0001f431.heic",
    "n" * 240 + ".heic",
    "noextension",
    "x.HEIC.jpg",
)


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def sources(folder):
    return [photo.source for photo in list_photos(folder).photos]


def test_list_photos_counts_sidecars_and_junk_in_one_line(tmp_path):
    fill(tmp_path, "IMG_1.HEIC", "IMG_1.MOV", "IMG_2.mov", "IMG_1.AAE", "._IMG_1.HEIC", ".DS_Store", "Thumbs.db")
    fill(tmp_path, "__MACOSX/._a", "__MACOSX/b/c", ".IMG_0002.HEIC.icloud", "sub/notes.txt", ".gitignore", "a.MP4")
    listing = list_photos(tmp_path)
    assert [photo.source for photo in listing.photos] == ["IMG_1.HEIC"]
    line = listing.describe_ignored()
    assert "\n" not in line
    assert line.startswith("ignored 12 files")
    for part in ("2 *.mov", "1 ._*", "2 in __MACOSX/", "iCloud", "1 .DS_Store", "1 *.txt", "1 hidden files"):
        assert part in line


def test_captions_that_are_read_are_not_called_ignored(tmp_path):
    fill(tmp_path, "IMG_1.HEIC", "captions.txt")
    assert list_photos(tmp_path).describe_ignored() == ""


def test_list_photos_searches_sub_folders_in_byte_order(tmp_path):
    fill(tmp_path, "b.jpg", "a/z.jpg", "B.jpg", "a.jpg", "x.HEIC/inside.HEIC")
    (tmp_path / "empty.HEIC").mkdir()
    assert sources(tmp_path) == ["B.jpg", "a.jpg", "a/z.jpg", "b.jpg", "x.HEIC/inside.HEIC"]


def test_list_photos_takes_strange_names_and_gives_each_its_own_id(tmp_path):
    fill(tmp_path, *ODD_NAMES)
    fill(tmp_path, *(unicodedata.normalize(form, "caf\u00e9.jpg") for form in ("NFC", "NFD")))
    fill(tmp_path, "IMG_0001.HEIC", "IMG_0001.heic", "IMG_0001.JPG", "IMG_0001.PNG", "sub/IMG_0001.HEIC")
    photos = list_photos(tmp_path).photos
    ids = [photo.image_id for photo in photos]
    assert len(photos) == len(ODD_NAMES) + 7
    assert len({name.lower() for name in ids}) == len(ids)
    for name in ids:
        assert name.isascii()
        assert len(name) <= 49
        assert name.replace("-", "").replace("_", "").isalnum()
        assert not name.startswith(("-", "_"))


def test_list_photos_takes_names_that_no_table_could_hold(tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.jpg", "wb") as stream:  # noqa: PTH123 - a path of bytes
        stream.write(b"x")
    fill(tmp_path, "a\rb.jpg")
    assert sources(tmp_path) == ["a\\rb.jpg", "\\xff\\xfe.jpg"]


def test_image_id_is_readable_and_independent_of_neighbours():
    assert image_id(b"IMG_4630.HEIC").startswith("IMG_4630-")
    assert image_id("\u041a\u043e\u0442.jpg".encode()).startswith("Kot-")
    assert image_id("caf\u00e9 1.jpg".encode()).startswith("cafe-1-")
    assert image_id("\U0001f431.jpg".encode()).startswith("photo-")
    assert image_id(b"a/x.jpg") != image_id(b"b/x.jpg")
    assert image_id(b"a/x.jpg") == image_id(b"a/x.jpg")


def test_list_photos_names_what_cannot_be_opened(tmp_path):
    fill(tmp_path, "good.jpg")
    (tmp_path / "dangling.HEIC").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "itself.jpg").symlink_to(tmp_path / "itself.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    problems = {photo.source: photo.problem for photo in list_photos(tmp_path).photos}
    assert "does not exist" in problems["dangling.HEIC"]
    assert "cannot be opened" in problems["itself.jpg"]
    assert "leads back" in problems["loop"]
    assert "not a regular file" in problems["pipe.jpg"]
    assert problems["good.jpg"] == ""


def test_list_photos_follows_links_within_the_folder_and_into_dvcs_cache(tmp_path):
    fill(tmp_path / "raw/inside", "a.jpg")
    fill(tmp_path / "cache/files/md5/ab", f"{'0' * 30}")
    raw = tmp_path / "raw"
    (raw / "link.jpg").symlink_to(raw / "inside" / "a.jpg")
    (raw / "folder").symlink_to(raw / "inside")
    (raw / "versioned.jpg").symlink_to(tmp_path / f"cache/files/md5/ab/{'0' * 30}")
    listing = list_photos(raw)
    assert [photo.source for photo in listing.photos] == ["folder/a.jpg", "inside/a.jpg", "link.jpg", "versioned.jpg"]
    assert not any(photo.problem for photo in listing.photos)
    (tmp_path / "data").symlink_to(raw)
    assert sources(tmp_path / "data") == sources(raw)


def test_list_photos_names_links_that_leave_the_folder(tmp_path):
    """Files, folders and captions that nobody put there: somebody's links would bring in what lies elsewhere."""
    fill(tmp_path / "home", "a.jpg", "captions.txt")
    fill(tmp_path / "raw", "good.jpg")
    for name, target in (("link.jpg", "home/a.jpg"), ("folder", "home"), ("captions.txt", "home/captions.txt")):
        (tmp_path / "raw" / name).symlink_to(tmp_path / target)
    problems = {photo.source: photo.problem for photo in list_photos(tmp_path / "raw").photos}
    outside = "a symbolic link to a place outside of the folder; copy what it names"
    assert problems == {"captions.txt": outside, "folder": outside, "good.jpg": "", "link.jpg": outside}


def test_list_photos_without_photos_names_folder_and_formats(tmp_path):
    fill(tmp_path, "captions.txt")
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(EmptyDatasetError, match="HEIC") as caught:
            list_photos(folder)
        assert str(folder) in str(caught.value)
