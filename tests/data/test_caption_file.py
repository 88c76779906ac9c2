"""captions.txt: what its lines may look like, and which photo each belongs to."""

import unicodedata

import pytest

from src.core.errors import CaptionError
from src.data.caption_file import match_captions, read_captions


def write(folder, data):
    path = folder / "captions.txt"
    path.write_bytes(data)
    return path


def matched(folder, text, *sources):
    captions = read_captions(write(folder, text.encode()))
    return {source: caption.text for source, caption in match_captions(captions, {s: s for s in sources}).items()}


@pytest.mark.parametrize(
    "data",
    [
        b"a.HEIC|one\nb.HEIC|two | three",
        b"a.HEIC|one\r\nb.HEIC|two | three\r\n",
        b"\xef\xbb\xbf# captions\n\n a.HEIC | one \n   \nb.HEIC|two | three\n",
    ],
)
def test_read_captions_takes_every_line_end_mark_and_comment(tmp_path, data):
    captions = read_captions(write(tmp_path, data))
    assert [(caption.file, caption.text) for caption in captions] == [("a.HEIC", "one"), ("b.HEIC", "two | three")]


def test_read_captions_is_empty_where_there_is_no_file(tmp_path):
    assert read_captions(tmp_path / "captions.txt") == []


def test_read_captions_names_the_line_without_a_bar(tmp_path):
    with pytest.raises(CaptionError, match=r"captions\.txt:2: expected `file|caption`"):
        read_captions(write(tmp_path, b"a|b\nno bar"))


def test_read_captions_names_the_byte_that_is_not_utf8(tmp_path):
    with pytest.raises(CaptionError, match="0xff"):
        read_captions(write(tmp_path, b"a|\xff"))


def test_match_captions_goes_by_path_then_name_then_stem(tmp_path):
    assert matched(tmp_path, "img_1.jpg|x", "IMG_1.HEIC", "IMG_10.HEIC") == {"IMG_1.HEIC": "x"}
    assert matched(tmp_path, "IMG_1|x", "IMG_1.HEIC") == {"IMG_1.HEIC": "x"}
    assert matched(tmp_path, "x.HEIC|x", "x.HEIC.jpg", "x.png") == {"x.HEIC.jpg": "x"}
    assert matched(tmp_path, "IMG_1.JPG|x", "IMG_1.HEIC", "IMG_1.JPG") == {"IMG_1.JPG": "x"}
    assert matched(tmp_path, "IMG_1.HEIC|x", "IMG_1.HEIC", "sub/IMG_1.HEIC") == {"IMG_1.HEIC": "x"}
    assert matched(tmp_path, "sub\\IMG_1.jpg|x", "IMG_1.HEIC", "sub/IMG_1.HEIC") == {"sub/IMG_1.HEIC": "x"}
    assert matched(tmp_path, unicodedata.normalize("NFD", "é.jpg") + "|x", "é.heic") == {"é.heic": "x"}


def test_match_captions_refuses_an_ambiguous_stem(tmp_path):
    with pytest.raises(CaptionError, match=r"several photos.*a/IMG_1\.HEIC, b/IMG_1\.HEIC"):
        matched(tmp_path, "IMG_1.jpg|x", "a/IMG_1.HEIC", "b/IMG_1.HEIC")


def test_match_captions_lists_all_lines_that_fit_no_photo(tmp_path):
    with pytest.raises(CaptionError, match=r"(?s):1: no photo fits 'x'.*:3: no photo fits 'sub/a\.HEIC'"):
        matched(tmp_path, "x|x\na.HEIC|y\nsub/a.HEIC|z", "a.HEIC")


def test_match_captions_refuses_two_lines_for_one_photo(tmp_path):
    with pytest.raises(CaptionError, match=r":2: 'a\.HEIC' has a caption in .*:1 already"):
        matched(tmp_path, "a.HEIC|x\na.jpg|y", "a.HEIC")


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_read(tmp_path):
    """Nobody put there what it names, and DVC would version the link alone; with on_bad=skip convert goes on."""
    raw = tmp_path / "raw"
    (raw / "notes").mkdir(parents=True)
    for place in (tmp_path / "secret.txt", raw / "notes/mine.txt"):
        place.write_text("a.HEIC|one")
    link = raw / "captions.txt"
    link.symlink_to(raw / "notes/mine.txt")
    assert [caption.text for caption in read_captions(link)] == ["one"]
    link.unlink()
    link.symlink_to(tmp_path / "secret.txt")
    with pytest.raises(CaptionError, match=r"captions\.txt: a symbolic link to a place outside of the folder"):
        read_captions(link)
