"""HEIF boxes: the layout agrees with libheif, and a tile that libheif left out is found wherever it is turned."""

import struct

import numpy as np
import pillow_heif
import pytest

from src.core.errors import BadPhotoError
from src.data.photos.damage import check_coded_data, check_extents, check_tiles, undo_transforms
from src.data.photos.decode import decode_photo
from src.data.photos.header import read_header
from src.data.photos.heif_boxes import read_layout
from tests.data.photos.samples import encode, exif, noise, scene

RESERVED_NAL_TYPE = 41 << 1  # decoders must ignore it (ITU-T H.265, table 7-1), so the tile has no picture


def write(path, data):
    path.write_bytes(data)
    return path


def without_tile(data, path, number):
    """Hides the coded picture of one tile from the decoder; the file stays well-formed."""
    broken = bytearray(data)
    ((offset, length),) = read_layout(write(path, data)).coded_items()[number].extents
    at = offset
    while at < offset + length:
        size = int.from_bytes(broken[at : at + 4], "big")
        broken[at + 4] = RESERVED_NAL_TYPE
        at += 4 + size
    return bytes(broken)


@pytest.mark.parametrize("tile_size", [None, 256])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_layout_agrees_with_libheif(tmp_path, tile_size, orientation):
    data = encode(noise(512, 320), "HEIF", tile_size=tile_size, exif=exif(orientation).tobytes())
    layout = read_layout(write(tmp_path / "photo", data))
    picture = pillow_heif.open_heif(data)[0]
    seen = tuple(entry for entry in picture._c_image.transformations if entry[0] != "clap")
    assert tuple(entry for entry in layout.transforms if entry[0] != "clap") == seen
    assert layout.size == (512, 320)
    assert layout.format == "HEIC"
    assert len(layout.coded_items()) == (1 if tile_size is None else 4)
    check_extents(layout)
    check_coded_data(tmp_path / "photo", layout)
    check_tiles(layout, np.asarray(picture), 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("number", [1, 2, 5])
def test_check_tiles_finds_the_tile_that_libheif_left_green(tmp_path, orientation, number):
    data = encode(noise(600, 400), "HEIF", tile_size=256, exif=exif(orientation).tobytes())
    broken = without_tile(data, tmp_path / "photo", number)
    layout = read_layout(write(tmp_path / "photo", broken))
    pixels = np.asarray(pillow_heif.open_heif(broken))
    assert (pixels == (0, 136, 0)).all(axis=-1).mean() > 0.05
    with pytest.raises(BadPhotoError, match=f"tile at {number % 3 * 256}, {number // 3 * 256} is missing"):
        check_tiles(layout, pixels, 8)


def test_check_tiles_passes_flat_pictures(tmp_path):
    for colour in ("black", "white", "grey", (0, 135, 30)):
        picture = scene(600, 400)
        picture.paste(colour, (0, 0, 600, 300))
        data = encode(picture, "HEIF", tile_size=256)
        check_tiles(read_layout(write(tmp_path / "photo", data)), np.asarray(pillow_heif.open_heif(data)), 8)


def test_undo_transforms_returns_to_the_stored_pixels():
    stored = np.arange(6).reshape(2, 3)
    assert np.array_equal(undo_transforms(np.rot90(stored, 1)[::-1], (("irot", 90), ("imir", 0))), stored)
    assert np.array_equal(undo_transforms(stored[:, ::-1], (("imir", 1),)), stored)


def test_read_layout_refuses_headers_cut_anywhere(tmp_path):
    data = encode(scene(), "HEIF", exif=exif(6).tobytes())
    end = data.index(b"mdat")
    for cut in range(60, end, 37):
        with pytest.raises(BadPhotoError):
            read_layout(write(tmp_path / "photo", data[:cut]))


def test_decode_photo_refuses_or_decodes_random_damage_and_raises_nothing_else(tmp_path):
    data = encode(scene(), "HEIF", exif=exif(6).tobytes(), tile_size=64)
    end, rng = data.index(b"mdat"), np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        broken = bytearray(data)
        for at in rng.integers(0, end, 3):
            broken[at] = int(rng.integers(256))
        path = write(tmp_path / "photo", bytes(broken))
        try:
            decode_photo(path, read_header(path), 1)
        except BadPhotoError:
            refused += 1
    assert refused > 100


WAVEFRONTS = {"x265:wpp": "1"}  # each row of blocks ends on its own
PHONES = {"x265:wpp": "0", "x265:ctu": "32"}  # one run of small blocks


def flip_bit(data, path, seed):
    item = read_layout(write(path, data)).coded_items()[0]
    ((offset, length),) = item.extents
    rng, changed = np.random.default_rng(seed), bytearray(data)
    changed[offset + int(rng.integers(200, length))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


@pytest.mark.parametrize("parameters", [WAVEFRONTS, PHONES])
def test_one_bit_in_valid_hevc_is_found(tmp_path, parameters):
    data = encode(scene(256, 256), "HEIF", quality=80, enc_params=parameters | {"preset": "ultrafast"})
    check_coded_data(tmp_path / "photo", read_layout(write(tmp_path / "photo", data)))
    refused = 0
    for seed in range(20):
        broken = write(tmp_path / "photo", flip_bit(data, tmp_path / "photo", seed))
        assert pillow_heif.open_heif(broken)[0].data  # libheif says nothing
        try:
            check_coded_data(broken, read_layout(broken))
        except BadPhotoError:
            refused += 1
    assert refused >= 19


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("options", [{"quality": 50}, {"quality": -1, "chroma": 444}, {"quality": 90, "tile_size": 64}])
def test_whole_hevc_passes_also_where_it_ends_in_black(tmp_path, mode, options):
    picture = scene().convert(mode)
    picture.paste(0 if mode == "L" else (0, 0, 0) if mode == "RGB" else (0, 0, 0, 255), (0, 64, 192, 128))
    path = write(tmp_path / "photo", encode(picture, "HEIF", **options))
    check_coded_data(path, read_layout(path))


def decode(tmp_path, data):
    path = write(tmp_path / "photo", data)
    return decode_photo(path, read_header(path), 256)


def test_decode_photo_refuses_a_heic_whose_primary_picture_libheif_does_not_list(tmp_path):
    data = bytearray(encode(scene(), "HEIF", thumbnails=[64]))
    decode(tmp_path, bytes(data))
    link = data.index(b"thmb")  # from the thumbnail's item to the photo's
    thumbnail, main = struct.unpack_from(">H", data, link + 4)[0], struct.unpack_from(">H", data, link + 8)[0]
    struct.pack_into(">H", data, data.index(b"pitm") + 8, thumbnail)
    assert pillow_heif.open_heif(bytes(data))[0].info["primary"] is False
    assert main != thumbnail
    with pytest.raises(BadPhotoError, match="its primary picture"):
        decode(tmp_path, bytes(data))


def test_decode_photo_refuses_a_picture_of_another_size_than_its_header_says(tmp_path, monkeypatch):
    data = encode(scene(), "HEIF")
    monkeypatch.setattr("src.data.photos.heif_boxes.Layout.upright_size", (96, 64))
    with pytest.raises(BadPhotoError, match="96 x 64 pixels, there are 192 x 128"):
        decode(tmp_path, data)
