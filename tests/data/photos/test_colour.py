"""Colour: HDR and wide-gamut signalling without an ICC profile."""

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from src.core.errors import BadPhotoError
from src.data.photos.colour import describe_profile, hdr_to_srgb, to_8_bit, to_srgb
from src.data.photos.decode import decode_photo
from src.data.photos.header import read_header
from tests.data.photos.samples import display_p3, encode, scene

BT709, P3, BT2020, SRGB, PQ, HLG = 1, 12, 9, 13, 16, 18


def grey(value, bits=10):
    return np.full((1, 1, 3), round(value * (2**bits - 1)), dtype=np.uint16)


def test_hdr_to_srgb_agrees_with_the_icc_profile_of_the_same_primaries():
    wanted = np.asarray(to_srgb(scene(), display_p3(), None)).astype(int)
    found = hdr_to_srgb(np.asarray(scene()), 8, (P3, SRGB)).astype(int)
    assert np.abs(found - wanted).max() <= 2


def test_hdr_to_srgb_puts_reference_white_near_white_and_keeps_black():
    # ITU-R BT.2408-7, table 1: 203 nits are 58 % of a PQ signal and 75 % of an HLG signal.
    for transfer, white in ((PQ, 0.58), (HLG, 0.75)):
        assert 225 <= hdr_to_srgb(grey(white), 10, (BT2020, transfer)).min() <= 255
        assert hdr_to_srgb(grey(0), 10, (BT2020, transfer)).max() == 0
        assert hdr_to_srgb(grey(1), 10, (BT2020, transfer)).min() >= 250


def test_hdr_to_srgb_is_monotone_and_keeps_grey_grey():
    for transfer in (PQ, HLG):
        ramp = np.arange(1024, dtype=np.uint16)[None, :, None].repeat(3, axis=2)
        found = hdr_to_srgb(ramp, 10, (BT2020, transfer)).astype(int)
        assert (np.diff(found[0, :, 1]) >= 0).all()
        assert np.ptp(found, axis=-1).max() <= 1


def test_to_srgb_without_profile_changes_nothing():
    for nclx in (None, (BT709, SRGB), (BT709, 1), (2, 2)):
        assert np.array_equal(np.asarray(to_srgb(scene(), None, nclx)), np.asarray(scene()))


def test_to_srgb_uses_grey_profiles_and_refuses_a_profile_for_other_pixels():
    cmyk = scene().convert("CMYK")
    with pytest.raises(BadPhotoError, match="RGB"):
        to_srgb(cmyk, display_p3(), None)
    flat = Image.new("L", (20, 20), 128)
    assert np.abs(np.asarray(to_srgb(flat, display_p3(), None)).astype(int) - 128).max() <= 1


def test_to_srgb_refuses_32_bit_samples():
    with pytest.raises(BadPhotoError, match="32 bits"):
        to_srgb(Image.new("F", (4, 4)), None, None)


def test_to_8_bit_rounds_to_the_nearest():
    values = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    assert np.array_equal(np.asarray(to_8_bit(values, 10, "L")), np.floor(values / 1023 * 255 + 0.5).astype(np.uint8))


def test_describe_profile_names_what_there_is():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert describe_profile(srgb, (9, 16)).startswith("sRGB")
    # the name that calibration gives a profile is that of a device or its owner
    assert describe_profile(srgb.replace(b"s\0R\0G\0B", b"I\0r\0a\0s"), None) == "other ICC profile"
    assert describe_profile(None, (9, 16)) == "nclx 9/16"
    assert describe_profile(None, None) == "untagged"


@pytest.mark.parametrize(("transfer", "light"), [(8, 0.21404114), (5, 0.21404114 ** (1 / 2.8))])
@pytest.mark.parametrize("samples", ["RGB", "RGB;16"])
def test_linear_light_and_gamma_28_are_brought_to_the_curve_of_srgb(transfer, light, samples, tmp_path):
    """IEC 61966-2-1: a light of 0.214 is 50 % of an sRGB signal."""
    peak, kind = (65535, np.uint16) if samples == "RGB;16" else (255, np.uint8)
    flat = np.full((64, 64, 3), round(light * peak), dtype=kind)
    path = tmp_path / "photo"
    signal = {
        "color_primaries": 1,
        "transfer_characteristics": transfer,
        "matrix_coefficients": 0,
        "full_range_flag": 1,
    }
    with path.open("wb") as stream:
        pillow_heif.from_bytes(samples, (64, 64), flat.tobytes()).save(stream, quality=-1, chroma=444, **signal)
    decoded = decode_photo(path, read_header(path), 1)
    assert decoded.profile == f"nclx 1/{transfer}"
    assert np.abs(np.asarray(decoded.image).astype(int) - 127.5).max() <= 1.5


def test_orientation_in_xmp_turns_no_avif_and_no_heic(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for kind in ("AVIF", "HEIF"):
        path = tmp_path / kind
        path.write_bytes(encode(scene(), kind, xmp=xmp.replace(b'"6"', b'"1"')).replace(b'n="1"', b'n="6"'))
        decoded = decode_photo(path, read_header(path), 1)
        assert (decoded.image.size, decoded.orientation) == (scene().size, 1)


def test_a_profile_for_no_known_space_is_named_in_letters_that_can_be_seen():
    profile = bytearray(display_p3())
    profile[16:20] = b"RGB\x01"
    with pytest.raises(BadPhotoError, match=r"for RGB\\x01, its pixels are RGB"):
        to_srgb(scene(), bytes(profile), None)
