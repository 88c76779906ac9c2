"""Decoding: the picture that a viewer shows, as sRGB numbers, for every format that phones and people have."""

import io
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from src.core.errors import BadPhotoError
from src.data.photos.decode import decode_photo
from src.data.photos.header import read_header
from tests.data.photos.samples import (
    SENTINEL,
    XMP,
    as_stored,
    difference,
    display_p3,
    encode,
    exif,
    heic_with_exif_only,
    noise,
    png16,
    png_file,
    scene,
)

ORIENTATIONS = range(1, 9)


@pytest.fixture
def decode(tmp_path):
    def run(data, name="photo", max_megapixels=256):
        path = tmp_path / name
        path.write_bytes(data)
        return decode_photo(path, read_header(path), max_megapixels)

    return run


def check(decoded, wanted, tolerance):
    assert decoded.image.mode == "RGB"
    assert decoded.image.info == {}
    assert difference(decoded.image, wanted) <= tolerance


@pytest.mark.parametrize("kind", ["JPEG", "HEIF", "AVIF", "WEBP", "PNG", "TIFF", "MPO"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_decode_photo_turns_every_format_upright(decode, kind, orientation):
    upright = scene()
    stored = as_stored(upright, orientation)
    decoded = decode(encode(stored, kind, exif=exif(orientation).tobytes(), quality=92))
    check(decoded, upright, 4)
    assert (decoded.orientation, decoded.stored_size) == (orientation, stored.size)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_decode_photo_applies_exif_to_heic_without_transformation(decode, orientation):
    upright = scene()
    decoded = decode(heic_with_exif_only(upright, orientation))
    check(decoded, upright, 2)
    assert decoded.orientation == orientation


def test_decode_photo_ignores_exif_where_heic_has_a_transformation(decode):
    data = encode(scene(), "HEIF", exif=exif(6).tobytes(), quality=-1, chroma=444)
    again = pillow_heif.open_heif(data)
    assert again[0]._c_image.transformations == (("irot", 270),)
    check(decode(data), Image.frombytes("RGB", again.size, again.data), 0)


@pytest.mark.parametrize("kind", ["JPEG", "HEIF", "PNG", "TIFF", "WEBP", "AVIF"])
def test_decode_photo_converts_display_p3(decode, kind):
    source = scene()
    wanted = ImageCms.profileToProfile(
        source, ImageCms.ImageCmsProfile(io.BytesIO(display_p3())), ImageCms.createProfile("sRGB")
    )
    decoded = decode(encode(source, kind, icc_profile=display_p3(), quality=95))
    assert decoded.profile == "Display P3"
    check(decoded, wanted, 4)
    spread = [float(np.ptp(np.asarray(picture), axis=-1).mean()) for picture in (decoded.image, wanted, source)]
    assert spread[0] / spread[1] == pytest.approx(1, abs=0.03)
    assert spread[2] / spread[1] < 0.93


def test_decode_photo_leaves_srgb_numbers_alone(decode):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    check(decode(encode(scene(), "PNG", icc_profile=srgb)), scene(), 0)


@pytest.mark.parametrize(("depth", "options"), [(10, {}), (12, {"save_to_12bit": True})])
def test_decode_photo_rounds_deep_heic(decode, monkeypatch, depth, options):
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bool(options))
    ramp = np.linspace(0, 65535, 256 * 64).reshape(64, 256, 1).repeat(3, axis=2).astype(np.uint16)
    stream = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (256, 64), ramp.tobytes()).save(stream, quality=-1, chroma=444)
    decoded = decode(stream.getvalue())
    assert decoded.bit_depth == depth
    found = np.asarray(decoded.image).astype(float)
    assert np.abs(found - ramp / 257).max() <= 1.5
    assert abs((found - ramp / 257).mean()) < 0.15
    assert (found[0, 0] == 0).all()
    assert (found[-1, -1] == 255).all()


def test_decode_photo_brings_hdr_heic_to_ordinary_brightness(decode):
    # ITU-R BT.2408-7, table 1: 58 % of a PQ signal are the white of an ordinary picture.
    half = np.full((64, 64, 3), round(0.58 * 65535), dtype=np.uint16)
    stream = io.BytesIO()
    hdr = {"color_primaries": 9, "transfer_characteristics": 16, "matrix_coefficients": 9, "full_range_flag": 1}
    pillow_heif.from_bytes("RGB;16", (64, 64), half.tobytes()).save(stream, quality=90, **hdr)
    decoded = decode(stream.getvalue())
    assert (decoded.profile, decoded.bit_depth) == ("nclx 9/16", 10)
    assert np.asarray(decoded.image).min() > 225


def test_decode_photo_finds_missing_tiles_of_deep_heic(decode, monkeypatch):
    stream = io.BytesIO()
    deep = np.asarray(noise(512, 512)).astype(np.uint16) * 257
    pillow_heif.from_bytes("RGB;16", (512, 512), deep.tobytes()).save(stream, quality=80, tile_size=256)
    decode(stream.getvalue())
    missing = np.asarray(noise(512, 512)).astype(np.uint16)
    missing[256:, :256] = (0, 136 << 2, 0)
    monkeypatch.setattr(np, "asarray", lambda _picture: missing)
    with pytest.raises(BadPhotoError, match="tile at 0, 256"):
        decode(stream.getvalue())


def test_decode_photo_scales_16_bit_grey_and_rgb_png(decode):
    ramp = np.linspace(0, 65535, 128 * 100).reshape(100, 128).astype(np.uint16)
    grey = np.asarray(decode(encode(Image.fromarray(ramp), "PNG")).image).astype(float)
    assert np.abs(grey - (ramp / 257)[..., None]).max() <= 0.51
    rgb = np.asarray(decode(png16(np.stack([ramp, ramp[::-1], ramp], axis=-1))).image).astype(float)
    assert np.abs(rgb[..., 0] - ramp / 257).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "HEIF", "AVIF", "TIFF"])
def test_decode_photo_lays_transparency_on_white(decode, kind):
    picture = scene().convert("RGBA")
    alpha = np.full((128, 192), 255, np.uint8)
    alpha[:, 96:144], alpha[:, 144:] = 128, 0
    picture.putalpha(Image.fromarray(alpha))
    wanted = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    options = {"exact": True} if kind == "WEBP" else {}
    decoded = decode(encode(picture, kind, quality=95, **options))
    check(decoded, wanted, 4)
    assert np.asarray(decoded.image)[:, 160:].min() >= 250


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "CMYK", "YCbCr", "LAB"])
def test_decode_photo_brings_every_mode_to_rgb(decode, mode):
    kind = "TIFF" if mode in ("CMYK", "YCbCr", "LAB") else "PNG"
    if mode == "LAB":
        source = ImageCms.profileToProfile(
            scene(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        wanted, tolerance = scene(), 3
    else:
        source = scene().convert(mode)
        wanted, tolerance = source.convert("RGB"), 0
    check(decode(encode(source, kind)), wanted, tolerance)


def test_decode_photo_honours_palette_transparency(decode):
    picture = Image.new("P", (64, 64), 0)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.paste(1, (0, 0, 32, 64))
    found = np.asarray(decode(encode(picture, "PNG", transparency=0)).image)
    assert (found[:, 40] == 255).all()
    assert (found[:, 10] == (0, 0, 255)).all()


def test_decode_photo_takes_the_primary_picture(decode):
    first, second = scene(seed=1), scene(seed=2)
    burst = encode(first, "HEIF", save_all=True, append_images=[second, scene(seed=3)], primary_index=1)
    check(decode(burst), second, 6)
    mpo = encode(first, "MPO", save_all=True, append_images=[second])
    check(decode(mpo), first, 6)
    check(decode(encode(first.copy(), "TIFF", save_all=True, append_images=[second.copy()])), first, 0)
    check(decode(encode(first, "WEBP", save_all=True, append_images=[second], quality=95)), first, 6)


@pytest.mark.parametrize("brand", [b"mif2", b"mif1", b"msf1", b"heix"])
def test_decode_photo_reads_heic_of_any_brand(decode, brand):
    data = encode(scene(), "HEIF")
    check(decode(data[:8] + brand + data[12:], "named.jpg"), scene(), 6)


@pytest.mark.parametrize("kind", ["HEIF", "JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_decode_photo_leaves_no_metadata(decode, kind):
    options = {} if kind == "TIFF" else {"xmp": XMP}
    data = encode(scene(), kind, exif=exif(1).tobytes(), **options)
    assert SENTINEL in data
    stream = io.BytesIO()
    decode(data).image.save(stream, "PNG")
    assert SENTINEL not in stream.getvalue()
    assert b"eXIf" not in stream.getvalue()


@pytest.mark.parametrize("kind", ["HEIF", "JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_decode_photo_refuses_truncated_files(decode, kind, part):
    data = encode(noise(), kind)
    with pytest.raises(BadPhotoError):
        decode(data[: int(len(data) * part)])


@pytest.mark.parametrize("tile_size", [None, 256])
@pytest.mark.parametrize("part", [0.5, 0.95, 0.999])
def test_decode_photo_refuses_truncated_heic_that_libheif_opens(decode, tile_size, part):
    data = encode(noise(), "HEIF", tile_size=tile_size)
    with pytest.raises(BadPhotoError, match="truncated"):
        decode(data[: int(len(data) * part)])


@pytest.mark.parametrize("tile_size", [None, 256])
@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("size", [64, 8192])
def test_decode_photo_refuses_heic_with_a_zeroed_part(decode, tile_size, place, size):
    data = encode(noise(), "HEIF", tile_size=tile_size)
    decode(data)
    at = int(len(data) * place)
    with pytest.raises(BadPhotoError, match="damaged"):
        decode(data[:at] + bytes(size) + data[at + size :])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "AVIF", "TIFF"])
def test_decode_photo_refuses_a_zeroed_middle(decode, kind):
    data = encode(noise(), kind, **({"compression": "tiff_adobe_deflate"} if kind == "TIFF" else {}))
    decode(data)
    middle = len(data) // 2
    with pytest.raises(BadPhotoError):
        decode(data[:middle] + bytes(8192) + data[middle + 8192 :])


def bombs():
    jpeg = bytearray(encode(scene(), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    heic = bytearray(encode(noise(), "HEIF", tile_size=256))
    sizes = [at for at in range(len(heic)) if heic[at : at + 4] == b"ispe"]
    for at in sizes:
        if struct.unpack_from(">II", heic, at + 8) == (640, 512):
            struct.pack_into(">II", heic, at + 8, 60000, 60000)
    png = png_file(struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0), b"")
    return {"JPEG": bytes(jpeg), "HEIF": bytes(heic), "PNG": png}


@pytest.mark.parametrize("kind", ["JPEG", "HEIF", "PNG"])
def test_decode_photo_refuses_header_bombs(decode, kind):
    with pytest.raises(BadPhotoError, match="3600 megapixels"):
        decode(bombs()[kind])


def test_decode_photo_obeys_max_megapixels(decode):
    data = encode(noise(1000, 1000), "JPEG")
    decode(data, max_megapixels=1.0)
    with pytest.raises(BadPhotoError, match=r"convert\.max_megapixels is 0\.9"):
        decode(data, max_megapixels=0.9)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (bytes(1000), "zeros"),
        (b"GIF89a" + bytes(50), "GIF"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(50), "video"),
        (b"\0\0\0\x14ftypmp42\0\0\0\0isom" + bytes(50), "video"),
        (b"PK\x03\x04" + bytes(50), "unpack"),
        (b"hello, this is text", "no known picture"),
        (b"\xff\xd8\xff\xe0" + bytes(200), "decoded"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "damaged|decoded"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "decoded"),
    ],
)
def test_decode_photo_says_what_a_file_is_instead(decode, data, words):
    with pytest.raises(BadPhotoError, match=words):
        decode(data, "photo.HEIC")


def test_decode_photo_refuses_raw_files_and_broken_profiles(decode):
    with pytest.raises(BadPhotoError, match="raw"):
        decode(encode(scene(), "TIFF", tiffinfo={50706: b"\1\4\0\0"}))
    with pytest.raises(BadPhotoError, match="colour profile"):
        decode(encode(scene(), "JPEG", icc_profile=b"no profile at all" * 20))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_decode_photo_survives_malformed_exif(decode):
    for block in (b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        check(decode(encode(scene(), "JPEG", exif=block, quality=95)), scene(), 4)
