"""captions.txt: what its lines may look like, and which photo each belongs to."""

import time
import unicodedata

import pytest

from src.core.errors import CaptionError
from src.data.caption_file import match_captions, read_captions
from src.data.photos.listing import list_photos


def write(folder, data):
    path = folder / "captions.txt"
    path.write_bytes(data)
    return path


def matched(folder, text, *sources):
    write(folder, text.encode())
    captions = read_captions(folder, ["captions.txt"])
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
    write(tmp_path, data)
    captions = read_captions(tmp_path, ["captions.txt"])
    assert [(caption.file, caption.text) for caption in captions] == [("a.HEIC", "one"), ("b.HEIC", "two | three")]


def test_read_captions_is_empty_where_there_is_no_file(tmp_path):
    assert read_captions(tmp_path, ["captions.txt"]) == []


def test_read_captions_names_the_line_without_a_bar(tmp_path):
    with pytest.raises(CaptionError, match=r"captions\.txt:2: expected `file|caption`"):
        matched(tmp_path, "a|b\nno bar")


def test_read_captions_names_the_byte_that_is_not_utf8(tmp_path):
    write(tmp_path, b"a|\xff")
    with pytest.raises(CaptionError, match="0xff"):
        read_captions(tmp_path, ["captions.txt"])


def test_read_captions_names_the_line_with_a_nul(tmp_path):
    with pytest.raises(CaptionError, match=r"captions\.txt:2: expected UTF-8 text, found a NUL byte"):
        matched(tmp_path, "a.HEIC|x\nb.HEIC|y\0z", "a.HEIC", "b.HEIC")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"sksToy, on a rug"', "sksToy, on a rug"),
        ("\u201csksToy\u201d", "sksToy"),
        ("\u00absksToy\u00bb", "sksToy"),
        ("'sksToy'", "sksToy"),
        ('"sksToy" and "friend"', '"sksToy" and "friend"'),
        ("sksToy's ear", "sksToy's ear"),
        ('"', '"'),
    ],
)
def test_read_captions_takes_quotes_off_a_whole_caption_only(tmp_path, written, text):
    assert matched(tmp_path, f"a.HEIC|{written}", "a.HEIC") == {"a.HEIC": text}


def test_read_captions_takes_a_line_with_a_hash_for_a_caption_where_a_photo_has_that_name(tmp_path):
    text = "#1 toy.jpg|sksToy\n# a.HEIC|old\n# a note\na.HEIC|new"
    assert matched(tmp_path, text, "#1 toy.jpg", "a.HEIC") == {"#1 toy.jpg": "sksToy", "a.HEIC": "new"}


def test_list_photos_and_read_captions_find_every_layout(tmp_path):
    """A text file beside each photo, and captions.txt in any case and folder."""
    files = {
        "IMG_0.HEIC": "",
        "img_0.TXT": "sksToy\non a rug\n",
        "IMG_1.jpg": "",
        "IMG_1.jpg.txt": '"sksToy asleep"',
        "IMG_2.5.png": "",
        "IMG_2.txt": "not of IMG_2.5.png",
        "IMG_3.HEIC": "",
        "Captions.TXT": "IMG_3|top",
        "sub/IMG_3.HEIC": "",
        "sub/CAPTIONS.txt": "IMG_3.jpg|below",
        "sub/IMG_4.HEIC": "",
        "readme.txt": "nothing",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    listing = list_photos(tmp_path)
    assert dict(listing.ignored) == {"*.txt (no captions.txt, nor named like a photo)": 2}
    sources = [photo.source for photo in listing.photos]
    assert len(sources) == 6
    found = match_captions(read_captions(tmp_path, listing.texts), {source: source for source in sources})
    assert {source: caption.text for source, caption in found.items()} == {
        "IMG_0.HEIC": "sksToy on a rug",
        "IMG_1.jpg": "sksToy asleep",
        "IMG_3.HEIC": "top",
        "sub/IMG_3.HEIC": "below",
    }


def test_match_captions_refuses_a_file_of_its_own_beside_a_line(tmp_path):
    (tmp_path / "a.txt").write_text("sksToy")
    write(tmp_path, b"a.HEIC|sksToy")
    captions = read_captions(tmp_path, ["a.txt", "captions.txt"])
    with pytest.raises(CaptionError, match=r"captions\.txt:1: 'a\.HEIC' has a caption in .*a\.txt already"):
        match_captions(captions, {"a": "a.HEIC"})


def test_match_captions_of_3000_photos_takes_no_time(tmp_path):
    sources = [f"roll {i % 7}/IMG_{i}.HEIC" for i in range(3000)]
    text = "".join(f"IMG_{i}.jpg|sksToy {i}\n" for i in range(3000))
    start = time.process_time()
    assert len(matched(tmp_path, text, *sources)) == 3000
    assert time.process_time() - start < 2  # quadratic: over a minute


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
    assert [caption.text for caption in read_captions(raw, ["captions.txt"])] == ["one"]
    link.unlink()
    link.symlink_to(tmp_path / "secret.txt")
    with pytest.raises(CaptionError, match=r"captions\.txt: a symbolic link to a place outside of the folder"):
        read_captions(raw, ["captions.txt"])
