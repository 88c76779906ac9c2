"""The convert stage: photos in, PNGs and one table out, whatever else lies in the folder."""

import errno
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.core.errors import BadPhotoError, ConfigError, EmptyDatasetError
from src.core.settings import ConvertSettings
from src.core.tables import read_table
from src.core.workers import Limits
from src.data.photos.budget import PixelBudget
from src.data.photos.conversion import inspect_photo
from src.stages.convert import convert_photos
from tests.data.photos.samples import SENTINEL, as_stored, difference, display_p3, encode, exif, noise, scene

PHOTOS = Path(__file__).parents[3] / "shared" / "photos"
COLUMNS = (
    "image_id,source,sha256,status,reason,width,height,stored_width,stored_height,format,orientation,profile,"
    "bit_depth,sharpness,phash,taken,camera,group"
)


def convert(folder, on_bad="fail", workers=2, bits=10, max_megapixels=256):
    return convert_photos(folder / "raw", folder / "images", ConvertSettings(on_bad, max_megapixels, bits), workers)


def fill(folder, **photos):
    for name, data in photos.items():
        path = folder / "raw" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def mixed(folder):
    """Photos in five formats, turned, tagged, and with sidecars."""
    fill(
        folder,
        IMG_1_dot_HEIC=encode(as_stored(scene(seed=1), 6), "HEIF", exif=exif(6).tobytes(), icc_profile=display_p3()),
        IMG_1_dot_JPG=encode(as_stored(scene(seed=2), 3), "JPEG", exif=exif(3).tobytes(), quality=92),
        IMG_1_dot_MOV=b"clip",
        IMG_1_dot_AAE=b"<plist/>",
        _dot_DS_Store=b"junk",
        captions_dot_txt=b"IMG_1.HEIC|a photo",
        sub__IMG_1_dot_HEIC=encode(scene(seed=3), "AVIF", exif=exif(1).tobytes()),
        sub__noextension=encode(scene(seed=4), "WEBP", quality=90),
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_convert_photos_writes_one_png_per_photo_and_the_table(tmp_path, capsys):
    mixed(tmp_path)
    records = convert(tmp_path)
    assert capsys.readouterr().out.count("ignored 3 files") == 1
    table = read_table(tmp_path / "images" / "images.csv")
    assert ",".join(table.columns) == COLUMNS
    assert list(table["source"]) == ["IMG_1.HEIC", "IMG_1.JPG", "sub/IMG_1.HEIC", "sub/noextension"]
    assert list(table["format"]) == ["HEIC", "JPEG", "AVIF", "WEBP"]
    assert list(table["orientation"]) == ["6", "3", "1", "1"]
    assert list(table["width"] + "x" + table["height"]) == ["192x128"] * 4
    assert list(table["stored_width"]) == ["128", "192", "192", "192"]
    assert table["profile"][0] == "Display P3"
    assert table["image_id"].is_unique
    assert {path.stem for path in (tmp_path / "images").glob("*.png")} == set(table["image_id"])
    for seed, record in enumerate(records[1:], start=2):
        with Image.open(tmp_path / "images" / f"{record.image_id}.png") as image:
            assert difference(image, scene(seed=seed)) < 5


def test_convert_photos_leaves_nothing_private_in_its_output(tmp_path):
    mixed(tmp_path)
    convert(tmp_path)
    for data in contents(tmp_path / "images").values():
        assert SENTINEL not in data


def test_convert_photos_gives_the_same_bytes_for_any_number_of_workers(tmp_path):
    mixed(tmp_path)
    convert(tmp_path, workers=1)
    first = contents(tmp_path / "images")
    convert(tmp_path, workers=5)
    assert contents(tmp_path / "images") == first


def test_convert_photos_adding_a_photo_changes_no_other(tmp_path):
    mixed(tmp_path)
    convert(tmp_path)
    first = contents(tmp_path / "images")
    fill(tmp_path, A_new_one_dot_jpg=encode(scene(seed=9), "JPEG"))
    convert(tmp_path)
    second = contents(tmp_path / "images")
    assert {name: second[name] for name in first if name.endswith(".png")} == {
        name: data for name, data in first.items() if name.endswith(".png")
    }


def test_convert_photos_lists_all_bad_photos_in_one_error_and_keeps_earlier_output(tmp_path):
    mixed(tmp_path)
    convert(tmp_path)
    before = contents(tmp_path / "images")
    whole = encode(noise(), "HEIF")
    fill(tmp_path, cut_dot_HEIC=whole[: len(whole) // 2], empty_dot_jpg=b"", text_dot_jpg=b"not a photo")
    (tmp_path / "raw" / "dangling.HEIC").symlink_to("nowhere")
    with pytest.raises(BadPhotoError) as caught:
        convert(tmp_path)
    for words in (
        "4 of 8",
        "cut.HEIC: truncated",
        "empty.jpg: an empty",
        "text.jpg: no known",
        "dangling.HEIC: a symb",
    ):
        assert words in str(caught.value)
    assert contents(tmp_path / "images") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "raw"]


def test_convert_photos_skip_records_bad_photos_and_goes_on(tmp_path, capsys):
    fill(tmp_path, good_dot_jpg=encode(scene(), "JPEG"), bad_dot_jpg=b"", tall_dot_png=encode(noise(1200, 1000), "PNG"))
    convert(tmp_path, on_bad="skip", max_megapixels=1)
    told = capsys.readouterr().out
    assert "2 of 3 photos" in told
    assert "  bad.jpg: an empty file" in told
    assert "  tall.png: " in told
    table = read_table(tmp_path / "images" / "images.csv").set_index("source")
    assert list(table["status"]) == ["refused", "ok", "refused"]
    assert table["reason"]["bad.jpg"] == "an empty file"
    assert "convert.max_megapixels is 1" in table["reason"]["tall.png"]
    assert table["width"]["bad.jpg"] == table["group"]["bad.jpg"] == ""
    assert table["width"]["good.jpg"] == "192"
    assert len(list((tmp_path / "images").glob("*.png"))) == 1


def test_convert_photos_refuses_when_all_are_bad_or_none_is_there(tmp_path):
    fill(tmp_path, bad_dot_jpg=b"", worse_dot_jpg=b"x")
    for on_bad in ("fail", "skip"):
        with pytest.raises(BadPhotoError, match="2 of 2"):
            convert(tmp_path, on_bad=on_bad)
    with pytest.raises(EmptyDatasetError, match="HEIC"):
        convert_photos(tmp_path / "nothing", tmp_path / "images", ConvertSettings("fail", 256, 10), 1)
    assert not (tmp_path / "images").exists()


def test_convert_photos_is_content_with_one_photo(tmp_path):
    fill(tmp_path, only_dot_HEIC=encode(scene(), "HEIF"))
    assert len(convert(tmp_path)) == 1


def test_convert_photos_groups_near_duplicates_under_the_smallest_id(tmp_path):
    first = scene(640, 480, seed=1)
    brighter = first.point(lambda value: min(255, value + 12))
    fill(tmp_path, a_dot_jpg=encode(first, "JPEG"), b_dot_png=encode(brighter.resize((320, 240)), "PNG"))
    fill(tmp_path, c_dot_jpg=encode(scene(640, 480, seed=2), "JPEG"))
    first_id, second_id, third_id = (record.image_id for record in convert(tmp_path))
    groups = {record.image_id: record.group for record in convert(tmp_path)}
    assert groups == {first_id: first_id, second_id: first_id, third_id: third_id}


def test_convert_photos_keeps_names_with_newlines_in_one_row(tmp_path):
    fill(tmp_path, **{"new\nline,|\"'_dot_jpg": encode(scene(), "JPEG"), "-x_dot_jpg": encode(scene(seed=2), "JPEG")})
    convert(tmp_path)
    assert set(read_table(tmp_path / "images" / "images.csv")["source"]) == {"new\\nline,|\"'.jpg", "-x.jpg"}


def write_on_a_full_disk(*_arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_convert_photos_full_disk_is_no_bad_photo(tmp_path, monkeypatch):
    mixed(tmp_path)
    convert(tmp_path)
    before = contents(tmp_path / "images")
    monkeypatch.setattr("src.stages.convert.write_photo", write_on_a_full_disk)
    with pytest.raises(OSError, match="No space left"):
        convert(tmp_path, on_bad="skip")
    assert contents(tmp_path / "images") == before


def misbehave(path):
    if path.stem == "loop":
        while True:
            pass
    if path.stem == "crash":
        os.abort()
    if path.stem == "greed":
        return inspect_photo(path), bytes(1 << 30)
    return inspect_photo(path)


@pytest.mark.skipif(sys.platform != "linux", reason="the bound on memory is Linux'")
def test_convert_photos_ends_a_photo_that_takes_too_much_or_crashes_and_converts_the_rest(tmp_path, monkeypatch, capfd):
    fill(tmp_path, **{f"{name}_dot_jpg": encode(scene(), "JPEG") for name in ("loop", "crash", "greed", "right")})
    monkeypatch.setattr("src.stages.convert.inspect_photo", misbehave)
    monkeypatch.setattr("src.stages.convert.limits_of", lambda *_: Limits(1, 256 << 20))
    reasons = {record.source: record.reason for record in convert(tmp_path, on_bad="skip")}
    assert reasons["right.jpg"] == ""
    assert reasons["loop.jpg"] == "takes more than 1 s of processor time"
    assert reasons["crash.jpg"] == "its decoder crashed (SIGABRT)"
    assert "memory" in reasons["greed.jpg"]
    assert "4 photos, 1 converted, 3 refused, 0 with a warning" in capfd.readouterr().out


def test_convert_photos_names_the_photo_of_a_library_warning(tmp_path, capfd):
    odd = encode(scene(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    fill(tmp_path, odd_dot_jpg=odd, even_dot_jpg=encode(scene(), "JPEG"))
    convert(tmp_path)
    told = capfd.readouterr()
    assert "convert: warning: odd.jpg: Corrupt EXIF data" in told.out
    assert "2 photos, 2 converted, 0 refused, 1 with a warning" in told.out
    assert told.err == ""


def test_convert_photos_escapes_what_a_terminal_would_obey(tmp_path, capsys):
    for name in ("a\u202egpj.exe", "b\x1b[2J.jpg"):
        fill(tmp_path, **{name.replace(".", "_dot_"): b"", "c_dot_jpg": encode(scene(), "JPEG")})
    convert(tmp_path, on_bad="skip")
    told = capsys.readouterr().out + (tmp_path / "images/images.csv").read_text()
    assert "\u202e" not in told
    assert "\x1b" not in told
    assert told.count("a\\u202egpj.exe") == told.count("b\\x1b[2J.jpg") == 2


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"on_bad": "ignore"}, "on_bad"),
        ({"max_megapixels": 0}, "max_megapixels"),
        ({"bits": 65}, "near_duplicate_bits"),
    ],
)
def test_convert_photos_refuses_arguments_out_of_range(tmp_path, change, key):
    with pytest.raises(ConfigError, match=f"convert.{key}"):
        convert(tmp_path, **change)


def test_pixel_budget_bounds_what_runs_at_one_time():
    budget, running, peak, lock = PixelBudget(100), 0, 0, threading.Lock()

    def work(pixels):
        nonlocal running, peak
        with budget.claim(pixels):
            with lock:
                running += pixels
                peak = max(peak, running)
            threading.Event().wait(0.01)
            with lock:
                running -= pixels

    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in (40, 60, 30, 30, 50, 90, 10, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=5)
    assert peak <= 100
    with budget.claim(1000):  # one photo alone always may
        pass


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs the sample photos beside the project")
@pytest.mark.parametrize(("name", "groups"), [("sksToy", 26), ("dog3", 6)])
def test_convert_photos_matches_the_truth_of_real_photos(tmp_path, name, groups):
    truth = pd.read_csv(PHOTOS / f"{name}.truth.csv").set_index("file")
    convert_photos(PHOTOS / name, tmp_path, ConvertSettings("fail", 256, 10), 2)
    table = pd.read_csv(tmp_path / "images.csv").set_index("source")
    assert sorted(table.index) == sorted(truth.index)
    for column, wanted in {
        "width": "upright_w",
        "height": "upright_h",
        "stored_width": "stored_w",
        "stored_height": "stored_h",
        "orientation": "orientation",
        "sha256": "sha256",
    }.items():
        assert (table[column] == truth[wanted]).all(), column
    assert ((table["profile"] == "Display P3") == (truth["icc"] == "Display P3")).all()
    assert table["group"].nunique() == groups
    # neighbouring frames by eye, also where hand and distance changed between them
    for first, second in ((4639, 4640), (4640, 4642), (4643, 4644), (4648, 4649), (4656, 4657), (4666, 4667)):
        if name == "sksToy":
            assert table["group"][f"IMG_{first}.HEIC"] == table["group"][f"IMG_{second}.HEIC"]
    for path in tmp_path.iterdir():
        assert b"PII-SENTINEL" not in path.read_bytes()
    for image_id in table["image_id"]:
        with Image.open(tmp_path / f"{image_id}.png") as image:
            assert np.asarray(image).shape == (image.height, image.width, 3)
