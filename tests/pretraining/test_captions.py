import pytest

from src.core.errors import CaptionError
from src.pretraining.captions import VOCABULARY, WrittenCaptions, read_written


@pytest.fixture
def images(tmp_path):
    """Two folders of two images each; their content is nobody's business here."""
    files = [tmp_path / name for name in ("cats/a.png", "cats/b.jpg", "dogs/a.png", "dogs/c.webp")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return files


def test_captions_are_lines_in_any_folder_or_files_beside_images(images, tmp_path):
    (tmp_path / "captions.txt").write_text("cats/a.png|a cat asleep\n")
    (tmp_path / "dogs/captions.txt").write_text("a.png|a dog, running\n# dogs\n")
    (tmp_path / "cats/b.txt").write_text("a cat\non a mat\n")
    (tmp_path / "dogs/c.webp.txt").write_text('"a dog"')
    (tmp_path / "cats/notes.txt").write_text("of no image")
    assert read_written(tmp_path, images) == ["a cat asleep", "a cat on a mat", "a dog, running", "a dog"]


def test_images_without_a_caption_are_named_with_their_folder(images, tmp_path):
    with pytest.raises(CaptionError, match=rf"^{tmp_path}: 4 of 4 images have no caption: cats/a.png, .*captions.txt"):
        read_written(tmp_path, images)
    (tmp_path / "captions.txt").write_text("cats/a.png|a cat\ncats/b.jpg|\ndogs/c.webp|a dog\n")
    with pytest.raises(CaptionError, match=r"2 of 4 images have no caption: cats/b.jpg, dogs/a.png; expected"):
        read_written(tmp_path, images)
    (tmp_path / "captions.txt").write_text("cats/z.png|a cat\n")
    with pytest.raises(CaptionError, match=r"no photo fits 'cats/z.png'"):
        read_written(tmp_path, images)


def test_words_are_the_most_frequent_ones():
    captions = WrittenCaptions(["A cat, 2 cats.", "a кот_cat"], [0, 0])
    assert captions.words == ["a", "cat", "cats", "кот"]
    spelled = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(VOCABULARY + 50)]
    many = WrittenCaptions([" ".join([*spelled, spelled[-1]])], [0])
    assert len(many.words) == VOCABULARY
    assert many.words[0] == spelled[-1]


def test_showcase_repeats_the_texts_of_a_class_and_leaves_out_empty_classes():
    captions = WrittenCaptions(["one", "two", "one", "three"], [0, 2, 0, 0])
    assert captions.showcase(["a", "b", "c"], 3) == {"a": ["one", "three", "one"], "c": ["two"] * 3}


def test_other_texts_have_another_name():
    assert WrittenCaptions(["a"], [0]).digest() != WrittenCaptions(["b"], [0]).digest()
