import numpy as np
import pytest
from PIL import Image

from src.core.errors import ConfigError
from src.sampling.own_prompts import read_seeds, read_start, read_texts


def test_a_text_a_list_and_a_file_are_texts_in_their_order_each_once(tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("\ufeffкот на столе\r\n\n  a, b  \nкот на столе\n", encoding="utf-8")
    assert read_texts("a, b", None) == ["a, b"]
    assert read_texts(["b", "a", "b"], None) == ["b", "a"]
    assert read_texts(None, str(file)) == ["кот на столе", "a, b"]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [(["a", 3], r"prompt=3"), ([["a"]], r"prompt=\['a'\]"), (3, "prompt=3"), (["a", " "], r"prompt=' '"), ([], "0 pr")],
)
def test_what_is_no_text_is_refused(prompt, message):
    with pytest.raises(ConfigError, match=message):
        read_texts(prompt, None)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"\n \n", "found none"), (b"\xff\xfe\x00", "UTF-8"), (b"a\n" * (1 << 20), "over 1 MiB"), (b"", "found none")],
)
def test_what_is_no_file_of_prompts_is_refused(tmp_path, data, message):
    (tmp_path / "p.txt").write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_texts(None, str(tmp_path / "p.txt"))


def test_seeds_are_numbers_each_once():
    assert read_seeds(None) is None
    assert (read_seeds("7"), read_seeds(0), read_seeds([3, "2", 3])) == ([7], [0], [3, 2])
    for wrong in ("-1", "1.5", True, [], "²", [2**63], {"a": 1}):
        with pytest.raises(ConfigError, match="seeds="):
            read_seeds(wrong)


def test_a_picture_to_begin_with_is_upright_and_its_middle_of_the_wanted_shape(tmp_path):
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[:, :10, 0], pixels[:, 10:, 2] = 255, 255
    photo = Image.fromarray(pixels)
    exif = photo.getexif()
    exif[0x0112] = 6  # shown turned by 90 degrees to the right: red is above
    photo.save(tmp_path / "p.png", exif=exif)
    start = read_start(tmp_path / "p.png", 16, 16, 0.5)
    shown = np.asarray(start.image)
    assert shown.shape == (16, 16, 3)
    assert shown[1, 8].tolist() == [255, 0, 0]
    assert shown[-2, 8].tolist() == [0, 0, 255]
    again = read_start(tmp_path / "p.png", 16, 16, 0.9)
    assert (start.sha256, start.strength) == (again.sha256, 0.5)
    assert read_start(tmp_path / "p.png", 16, 8, 0.5).sha256 != start.sha256


@pytest.mark.parametrize("strength", [0.0, -1.0, 1.01, float("nan")])
def test_a_strength_out_of_range_is_refused(tmp_path, strength):
    with pytest.raises(ConfigError, match="strength="):
        read_start(tmp_path / "p.png", 16, 16, strength)
