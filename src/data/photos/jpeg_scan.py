"""Finds damage in the coded data of a JPEG (ITU-T T.81): what libjpeg warns of, and zeros, of which it does not."""

import re
from collections.abc import Iterator

import simplejpeg

from src.core.errors import BadPhotoError

ZEROS = re.compile(rb"\0{64}")
MARKER = re.compile(rb"\xff[^\0\xff]")
# libjpeg decodes on after these (jerror.h, JWRN_*); its other warnings are about harmless oddities
WARNINGS = ("Corrupt JPEG data", "Premature end of JPEG file", "Inconsistent progression sequence")
STRAY = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
PADDING = (b"\0", b"\xff")
RESTARTS = range(0xD0, 0xD8)
SOI, EOI, SOS, DHT, RST0 = 0xD8, 0xD9, 0xDA, 0xC4, 0xD0
# Arithmetic coding (SOF9 to SOF15) has no code tables to reason about.
HUFFMAN_FRAMES, FRAMES = (0xC0, 0xC1, 0xC2), frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, 0xCC}


def check_jpeg(data: bytes) -> None:
    """Checks the scans of the first picture in a JPEG file.

    A run of zero bits repeats the first code of a table. Where that code stands for "end of block", 64 zero bytes
    are a flat area; where it stands for a coefficient, they would be hundreds of equal ones, which is no picture.

    Args:
        data: The file.

    Raises:
        BadPhotoError: The file was damaged in place.
    """
    first_symbols: dict[int, int] = {}
    checkable = False
    for marker, payload, start in _segments(data):
        if marker in FRAMES:
            checkable = marker in HUFFMAN_FRAMES
        elif marker == DHT:
            first_symbols.update(_first_symbols(payload))
        elif marker == SOS and checkable:
            _check_scan(data, start, payload, first_symbols)


def check_warnings(data: bytes) -> None:
    """Decodes the first picture of a JPEG file at an eighth of its size and refuses it where libjpeg warns of damage.

    Stray bytes between the segments of the header and padding before the end are what some cameras and editors write;
    every viewer passes over them.

    Args:
        data: The file.

    Raises:
        BadPhotoError: A part of the coded data is damaged or missing.
    """
    try:
        simplejpeg.decode_jpeg(_without_stray_bytes(data), "GRAY", min_factor=8, strict=True)
    except ValueError as error:
        message = str(error)
        if message.startswith(WARNINGS) and not _is_padding(data, message):
            raise BadPhotoError(f"damaged: {message.removeprefix('Corrupt JPEG data: ')}") from error


def _without_stray_bytes(data: bytes) -> bytes:
    """Joins the segments up to the first scan: libjpeg names its first warning only, and that may be a harmless one."""
    parts, end = [data[:2]], 2
    for marker, payload, end in _segments(data):
        parts.append(data[end - len(payload) - 4 : end])
        if marker == SOS:
            break
    return b"".join((*parts, data[end:]))


def _is_padding(data: bytes, message: str) -> bool:
    stray = STRAY.match(message)
    if stray is None or int(stray[2], 16) != EOI:
        return False
    end = data.rfind(b"\xff\xd9")
    padding = data[end - int(stray[1]) : end]
    return any(not padding.strip(byte) for byte in PADDING)


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    at = 2
    while (found := MARKER.search(data, at)) is not None:
        marker, at = data[found.end() - 1], found.end()
        if marker == EOI:
            return
        if marker in RESTARTS or marker == SOI:
            continue
        size = int.from_bytes(data[at : at + 2], "big")
        payload, at = data[at + 2 : at + size], at + size
        yield marker, payload, at


def _first_symbols(payload: bytes) -> dict[int, int]:
    found, at = {}, 0
    while at + 17 < len(payload):
        count = sum(payload[at + 1 : at + 17])
        found[payload[at]] = payload[at + 17]
        at += 17 + count
    return found


def _check_scan(data: bytes, start: int, header: bytes, first_symbols: dict[int, int]) -> None:
    components = header[0] if header else 0
    if len(header) < 4 + 2 * components:
        raise BadPhotoError("damaged: the header of its pixel data is too short")
    tables = [header[2 + 2 * index] & 15 for index in range(components)]
    spectral_start = header[1 + 2 * components]
    last = header[2 + 2 * components]
    end, expected = start, None
    while (found := MARKER.search(data, end)) is not None and data[found.end() - 1] in RESTARTS:
        number = data[found.end() - 1] - RST0
        if expected not in (None, number):
            raise BadPhotoError("damaged: a part of its pixel data is missing (restart markers out of order)")
        expected, end = (number + 1) % 8, found.end()
    stop = found.start() if found is not None else len(data)
    has_coefficients = spectral_start > 0 or last > 0
    # 0x10 | table: the AC tables; a run length of zero coefficients in the high half, the size in the low half.
    flat = all(_is_end_of_block(first_symbols.get(0x10 | table)) for table in tables)
    if has_coefficients and not flat and ZEROS.search(data, start, stop):
        raise BadPhotoError("damaged: a part of its pixel data is zeroed")


def _is_end_of_block(symbol: int | None) -> bool:
    return symbol is None or (symbol & 15 == 0 and symbol != 0xF0)
