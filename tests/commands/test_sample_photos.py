import io
from dataclasses import replace

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from src.commands.sample_photos import OWNER, display_p3, encode_photo, main, to_display_p3, write_sample_photos
from src.data.photos.decode import decode_photo
from src.data.photos.header import read_header
from src.tabletop.subject import plan_shots, take_photo
from tests.data.photos import samples

LONG_SIDE = 128
SHOT = replace(plan_shots(0)[0], quarter_turns=0, wide_gamut=False)


def decoded(path):
    return decode_photo(path, read_header(path), 1)


@pytest.mark.parametrize(("quarter_turns", "orientation"), [(0, 1), (1, 8), (2, 3), (3, 6)])
def test_sensor_lies_and_metadata_turns_it_upright(tmp_path, quarter_turns, orientation):
    shot = replace(SHOT, quarter_turns=quarter_turns)
    write_sample_photos(tmp_path, [shot], LONG_SIDE)
    photo = decoded(tmp_path / "IMG_4100.HEIC")
    assert (photo.orientation, photo.stored_size) == (orientation, (128, 96))
    assert samples.difference(photo.image, take_photo(shot, LONG_SIDE)) < 8


def test_photos_carry_an_owner_and_a_place_and_are_repeatable(tmp_path):
    shots = plan_shots(0)[:3]
    write_sample_photos(tmp_path, shots, LONG_SIDE)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["IMG_4100.HEIC", "IMG_4101.HEIC", "IMG_4102.HEIC"]
    for file, shot in zip(files, shots, strict=True):
        block = pillow_heif.open_heif(file).info["exif"]
        assert OWNER.encode() in block
        exif = Image.Exif()
        exif.load(block)
        assert exif.get_ifd(0x8825)[2] == (55.0, 45.0, 7.0)
        assert file.read_bytes() == encode_photo(take_photo(shot, LONG_SIDE), shot)


def test_wide_gamut_photos_have_other_numbers_and_the_same_colours(tmp_path):
    write_sample_photos(tmp_path, [SHOT, replace(SHOT, wide_gamut=True)], LONG_SIDE)
    files = sorted(tmp_path.iterdir())
    plain, wide = (decoded(file) for file in files)
    assert (plain.profile, wide.profile) == ("nclx 1/13", "Display P3")
    assert samples.difference(plain.image, wide.image) < 2.5
    numbers = [np.asarray(pillow_heif.open_heif(file)).astype(int) for file in files]
    # the teal fur has more red in P3
    assert np.abs(numbers[0] - numbers[1]).max() > 20


def test_display_p3_is_inverted_by_its_own_profile():
    scene = samples.scene()
    wide = to_display_p3(scene)
    back = ImageCms.profileToProfile(
        wide, ImageCms.ImageCmsProfile(io.BytesIO(display_p3())), ImageCms.createProfile("sRGB")
    )
    assert samples.difference(scene, back) < 1 < samples.difference(scene, wide)


def test_p3_red_of_srgb_is_the_published_one():
    # CSS Color 4, sample conversion: sRGB red is color(display-p3 0.9175 0.2003 0.1386)
    red = np.asarray(to_display_p3(Image.new("RGB", (1, 1), (255, 0, 0))))[0, 0] / 255
    assert red == pytest.approx((0.9175, 0.2003, 0.1386), abs=0.006)


def test_folder_on_the_command_line_takes_the_photos(tmp_path, monkeypatch):
    monkeypatch.setattr("src.commands.sample_photos.LONG_SIDE", 64)
    monkeypatch.setattr("sys.argv", ["sample_photos", str(tmp_path / "photos")])
    main()
    assert len(list((tmp_path / "photos").iterdir())) == 24
