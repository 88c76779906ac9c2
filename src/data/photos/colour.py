"""Brings any pixels to 8-bit sRGB numbers: ICC profiles, wide-gamut and HDR signalling, alpha, grey, CMYK, palettes.

Works in bands of rows, so that a 200-megapixel photo costs one picture in memory and not several.
"""

import io
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from src.core.errors import BadPhotoError
from src.core.printable import printable

BAND_ROWS = 256
SIXTEEN_BIT_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
# ITU-T H.273 code points.
BT2020, P3_DCI, P3_D65, GAMMA_28, LINEAR, PQ, HLG = 9, 11, 12, 5, 8, 16, 18
# To linear sRGB (D65). ITU-R BT.2087-0 Annex 2 for BT.2020; SMPTE EG 432-1 primaries for P3.
TO_SRGB = {
    BT2020: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    P3_D65: ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
SDR_WHITE_NITS, HLG_PEAK_NITS = 203.0, 1000.0  # ITU-R BT.2408-7, table 1
KNEE = 0.75  # brighter than this part of white, highlights are rolled off instead of clipped

# descriptions that thousands of files share
COMMON_PROFILES = frozenset(
    (
        *("sRGB", "sRGB IEC61966-2.1", "sRGB IEC61966-2-1", "sRGB built-in", "uRGB", "c2", "c2ci", "Apple RGB"),
        *("Display P3", "Adobe RGB (1998)", "Compatible with Adobe RGB (1998)", "ProPhoto RGB", "Rec. ITU-R BT.709-5"),
        *("Rec. ITU-R BT.2020-1", "Generic RGB Profile", "Generic Gray Profile", "Generic Gray Gamma 2.2 Profile"),
        *("Gray Gamma 2.2", "Dot Gain 20%", "U.S. Web Coated (SWOP) v2", "Coated FOGRA39 (ISO 12647-2:2004)"),
    )
)

Band = Image.Image
Recolour = Callable[[Band], Band]


def describe_profile(icc: bytes | None, nclx: tuple[int, int] | None) -> str:
    """Names a photo's colour space for the record.

    Args:
        icc: The ICC profile, or None.
        nclx: Primaries and transfer characteristics of ITU-T H.273, or None.

    Returns:
        The ICC profile's description if it is a common colour space's, else ``other ICC profile``: those of calibrated
        screens and scanners name the device or its owner. ``nclx P/T``, or ``untagged``.

    Raises:
        BadPhotoError: The ICC profile cannot be read.
    """
    if icc:
        try:
            name = " ".join(ImageCms.getProfileDescription(_open_profile(icc)[0]).split())
            return name if name in COMMON_PROFILES else "other ICC profile"
        except ImageCms.PyCMSError as error:
            raise BadPhotoError("its colour profile cannot be read") from error
    return f"nclx {nclx[0]}/{nclx[1]}" if nclx is not None else "untagged"


def to_srgb(image: Image.Image, icc: bytes | None, nclx: tuple[int, int] | None) -> Image.Image:
    """Converts a decoded picture; transparent parts are laid on white.

    Args:
        image: Any 8-bit mode of Pillow, or 16-bit grey. It may be changed in place.
        icc: Its ICC profile, which wins over `nclx`; None for sRGB.
        nclx: Primaries and transfer characteristics of ITU-T H.273, or None.

    Returns:
        Mode RGB, sRGB numbers.

    Raises:
        BadPhotoError: The samples are floating point or 32 bits, or the ICC profile cannot be read.
    """
    flat = _to_plain_mode(image)
    recolour = _icc_recolour(icc, flat.mode) if icc else _nclx_recolour(nclx)
    if flat.mode == "RGB" and recolour is None:
        return flat
    result = flat if flat.mode == "RGB" else Image.new("RGB", flat.size, "white")
    for box, band in _bands(flat):
        opaque = band.convert(_without_alpha(band.mode)) if band.mode in ("LA", "RGBA") else band
        rgb = recolour(opaque) if recolour is not None else opaque.convert("RGB")
        result.paste(rgb, box, band.getchannel("A") if opaque is not band else None)
    return result


def to_8_bit(pixels: NDArray[np.uint16], bit_depth: int, mode: str) -> Image.Image:
    """Scales samples of more than 8 bits, with rounding.

    Args:
        pixels: (H, W) or (H, W, C), values in [0, 2**bit_depth).
        bit_depth: 9 to 16.
        mode: Pillow's mode for the result: L, LA, RGB, RGBA, RGBa.

    Returns:
        The picture in `mode`.
    """
    peak = 2**bit_depth - 1
    table = ((np.arange(peak + 1, dtype=np.uint32) * 510 + peak) // (2 * peak)).astype(np.uint8)
    return map_bands(pixels, mode, lambda band: table[np.minimum(band, peak)])


def map_bands(
    pixels: NDArray[np.uint16], mode: str, function: Callable[[NDArray[np.uint16]], NDArray[np.uint8]]
) -> Image.Image:
    """Applies a function to bands of rows and joins the results to a picture.

    Args:
        pixels: (H, W) or (H, W, C).
        mode: Pillow's mode for the result.
        function: Takes and gives (rows, W) or (rows, W, C).

    Returns:
        The picture in `mode`.
    """
    height, width = pixels.shape[:2]
    result = Image.new(mode, (width, height))
    for top in range(0, height, BAND_ROWS):
        band = np.ascontiguousarray(function(pixels[top : top + BAND_ROWS]))
        result.paste(Image.frombytes(mode, (width, band.shape[0]), band.tobytes()), (0, top))
    return result


def is_far_from_srgb(nclx: tuple[int, int] | None) -> bool:
    """Says whether the numbers are on a curve for which 8 bits are too few: PQ, HLG, linear light, a gamma of 2.8."""
    return nclx is not None and nclx[1] in (PQ, HLG, LINEAR, GAMMA_28)


def hdr_to_srgb(pixels: NDArray[np.integer], bit_depth: int, nclx: tuple[int, int]) -> NDArray[np.uint8]:
    """Maps wide-gamut or HDR numbers to sRGB.

    PQ and HLG are brought to display light, where 203 nits are the white of an ordinary picture (BT.2408), and what is
    brighter is rolled off towards white; other transfer functions are taken for sRGB's.

    Args:
        pixels: (..., 3), values in [0, 2**bit_depth).
        bit_depth: 8 to 16.
        nclx: Primaries and transfer characteristics of ITU-T H.273.

    Returns:
        (..., 3), sRGB.
    """
    code = np.arange(2**bit_depth, dtype=np.float64) / (2**bit_depth - 1)
    linear = _linear_table(code, nclx[1]).astype(np.float32)[pixels]
    if nclx[1] == HLG:
        luminance = linear @ np.array((0.2627, 0.6780, 0.0593), np.float32)
        linear *= luminance[..., None] ** np.float32(0.2) * np.float32(HLG_PEAK_NITS / SDR_WHITE_NITS)
    if nclx[1] in (PQ, HLG):  # channel by channel, so that highlights fade to white as on film
        rolled = KNEE + (1 - KNEE) * (1 - np.exp(-(np.maximum(linear, KNEE) - KNEE) / (1 - KNEE)))
        linear = np.where(linear > KNEE, rolled, linear).astype(np.float32)
    matrix = TO_SRGB.get(P3_D65 if nclx[0] == P3_DCI else nclx[0])
    if matrix is not None:
        linear = linear @ np.array(matrix, np.float32).T
    return _encode_table()[np.rint(linear.clip(0, 1) * 65535).astype(np.uint16)]


def _linear_table(code: NDArray[np.float64], transfer: int) -> NDArray[np.float64]:
    if transfer == PQ:  # SMPTE ST 2084, equation 4.1
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = code ** (1 / m2)
        return 10000 / SDR_WHITE_NITS * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    if transfer == HLG:  # ITU-R BT.2100-2, table 5, inverse OETF
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    if transfer == LINEAR:
        return code
    if transfer == GAMMA_28:
        return code**2.8
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _encode_table() -> NDArray[np.uint8]:
    light = np.arange(65536, dtype=np.float64) / 65535
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(code * 255).astype(np.uint8)


def _to_plain_mode(image: Image.Image) -> Image.Image:
    """Returns L, LA, RGB, RGBA, CMYK or LAB."""
    if image.mode in SIXTEEN_BIT_GREY:
        return to_8_bit(np.asarray(image), 16, "L")
    if image.mode in ("I", "F"):
        raise BadPhotoError("its samples have 32 bits; expected 8 to 16")
    if image.mode in ("P", "L", "RGB", "1") and "transparency" in image.info:
        return image.convert("RGBA")
    plain = {
        "1": "L",
        "P": "RGB",
        "PA": "RGBA",
        "La": "LA",
        "RGBa": "RGBA",
        "RGBX": "RGB",
        "YCbCr": "RGB",
        "HSV": "RGB",
    }
    return image.convert(plain[image.mode]) if image.mode in plain else image


def _without_alpha(mode: str) -> str:
    return mode.removesuffix("A")


def _bands(image: Image.Image) -> Iterator[tuple[tuple[int, int, int, int], Band]]:
    for top in range(0, image.height, BAND_ROWS):
        box = (0, top, image.width, min(top + BAND_ROWS, image.height))
        yield box, image.crop(box)


def _open_profile(icc: bytes) -> tuple[ImageCms.ImageCmsProfile, str]:
    """Returns the profile and the colour space it is for, such as ``RGB``."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return profile, profile.profile.xcolor_space.strip()
    except (OSError, ValueError) as error:
        raise BadPhotoError("its colour profile cannot be read") from error


def _icc_recolour(icc: bytes, mode: str) -> Recolour | None:
    profile, name = _open_profile(icc)
    space = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(name)
    coded = _without_alpha(mode)
    if space is None or (space != coded and (space, coded) != ("RGB", "L")):
        raise BadPhotoError(f"its colour profile is for {printable(name)}, its pixels are {coded}")
    try:
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            space,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError as error:
        raise BadPhotoError("its colour profile cannot be read") from error

    def recolour(band: Band) -> Band:
        converted = ImageCms.applyTransform(band if band.mode == space else band.convert(space), transform)
        if converted is None:
            raise BadPhotoError("its colour profile cannot be applied")
        return converted

    return None if space == "RGB" and _changes_nothing(recolour) else recolour


def _changes_nothing(recolour: Recolour) -> bool:
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return bool(np.abs(np.asarray(recolour(Image.fromarray(cube))).astype(int) - cube).max() <= 1)


def _nclx_recolour(nclx: tuple[int, int] | None) -> Recolour | None:
    if nclx is None or (nclx[0] not in (BT2020, P3_DCI, P3_D65) and not is_far_from_srgb(nclx)):
        return None

    def recolour(band: Band) -> Band:
        return Image.fromarray(hdr_to_srgb(np.asarray(band.convert("RGB")), 8, nclx))

    return recolour
