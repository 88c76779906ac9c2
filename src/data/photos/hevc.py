"""Asks libde265, by which libheif decodes HEVC, for its warnings, which libheif passes over.

The library is the one inside pillow-heif's wheel, reached through the extension module that links it (decision 0014).
"""

import ctypes
from collections.abc import Iterator, Sequence
from functools import cache

import _pillow_heif

from src.core.errors import BadPhotoError, MissingModelError

# de265.h: de265_param, de265_error, de265_chroma
DISABLE_DEBLOCKING, DISABLE_SAO = 7, 8
# about threads, full queues, memory for a filter that is switched off, and text beside the picture
HARMLESS = frozenset((0, 1000, 1001, 1022, 1024, 1025))
SUBSAMPLED = (1, 2)
# a still picture takes two
MAX_STEPS = 20
MAX_WARNINGS = 20

Handle = ctypes.c_void_p
SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "de265_new_decoder": (Handle, ()),
    "de265_free_decoder": (ctypes.c_int, (Handle,)),
    "de265_set_parameter_bool": (None, (Handle, ctypes.c_int, ctypes.c_int)),
    "de265_push_NAL": (ctypes.c_int, (Handle, ctypes.c_char_p, ctypes.c_int, ctypes.c_int64, Handle)),
    "de265_flush_data": (ctypes.c_int, (Handle,)),
    "de265_decode": (ctypes.c_int, (Handle, Handle)),
    "de265_get_warning": (ctypes.c_int, (Handle,)),
    "de265_get_error_text": (ctypes.c_char_p, (ctypes.c_int,)),
    "de265_get_next_picture": (Handle, (Handle,)),
    "de265_get_chroma_format": (ctypes.c_int, (Handle,)),
    "de265_get_image_width": (ctypes.c_int, (Handle, ctypes.c_int)),
    "de265_get_image_height": (ctypes.c_int, (Handle, ctypes.c_int)),
    "de265_get_bits_per_pixel": (ctypes.c_int, (Handle, ctypes.c_int)),
    "de265_get_image_plane": (Handle, (Handle, ctypes.c_int, Handle)),
}


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(_pillow_heif.__file__)
    for name, (result, arguments) in SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise MissingModelError(
                f"this build of pillow-heif has no libde265 ({name}), which tells damaged HEIC photos from whole ones; "
                "install the one in requirements.txt"
            ) from error
        function.restype, function.argtypes = result, arguments
    return library


def check_picture(config: bytes, units: Sequence[bytes]) -> None:
    """Decodes one coded picture, without the filters that follow, and refuses it where the decoder is in doubt.

    Args:
        config: The item's property hvcC, whose parameter sets come before the picture's own units.
        units: The NAL units of the picture.

    Raises:
        BadPhotoError: Codes that do not exist, data that ends too early or too late, blocks without data.
        MissingModelError: There is no libde265 in this build.
    """
    library = _library()
    decoder = library.de265_new_decoder()
    try:
        for setting in (DISABLE_DEBLOCKING, DISABLE_SAO):
            library.de265_set_parameter_bool(decoder, setting, 1)
        for unit in (*_parameter_sets(config), *units):
            _refuse(library.de265_push_NAL(decoder, unit, len(unit), 0, None))
        library.de265_flush_data(decoder)
        picture = _decode(decoder)
        for _ in range(MAX_WARNINGS):
            _refuse(library.de265_get_warning(decoder))
        if not picture or _is_unfinished(picture):
            raise BadPhotoError("damaged: its pixel data ends too early")
    finally:
        library.de265_free_decoder(decoder)


def _parameter_sets(config: bytes) -> Iterator[bytes]:
    """Yields the NAL units of an hvcC (ISO/IEC 14496-15, 8.3.3.1.2)."""
    at, arrays = 23, config[22] if len(config) > 22 else 0
    for _ in range(arrays):
        count, at = int.from_bytes(config[at + 1 : at + 3], "big"), at + 3
        for _ in range(count):
            size = int.from_bytes(config[at : at + 2], "big")
            unit = config[at + 2 : at + 2 + size]
            at += 2 + size
            if size < 2 or len(unit) < size:
                raise BadPhotoError("damaged: its decoder configuration is cut off")
            yield unit


def _decode(decoder: int) -> int | None:
    library, more = _library(), ctypes.c_int(1)
    for _ in range(MAX_STEPS):
        _refuse(library.de265_decode(decoder, ctypes.byref(more)))
        picture: int | None = library.de265_get_next_picture(decoder)
        if picture or not more.value:
            return picture
    return None


def _refuse(code: int) -> None:
    if code not in HARMLESS:
        raise BadPhotoError(f"damaged: its pixel data holds errors ({_words(code)})")


def _words(code: int) -> str:
    text: bytes = _library().de265_get_error_text(code)
    return text.decode("ascii", "replace").removesuffix(" (concealing stream error...)")


def _is_unfinished(picture: int) -> bool:
    """Says whether the last block was left out: all zeros, which is a colour that no picture has (Y, Cb, Cr)."""
    library = _library()
    if library.de265_get_chroma_format(picture) not in SUBSAMPLED:
        return False  # without chroma, or coded as G, B, R, zeros are black
    for channel in range(3):
        width, height = (getattr(library, f"de265_get_image_{side}")(picture, channel) for side in ("width", "height"))
        size = (library.de265_get_bits_per_pixel(picture, channel) + 7) // 8
        stride = ctypes.c_int()
        plane = library.de265_get_image_plane(picture, channel, ctypes.byref(stride))
        last = ctypes.string_at(plane + (height - 1) * stride.value + (width - 1) * size, size)
        if any(last):
            return False
    return True
