"""Checks the checksums of a TIFF's deflated strips and tiles, which libtiff does not read to the end."""

import zlib
from pathlib import Path

from PIL.TiffImagePlugin import TiffImageFile

from src.core.errors import BadPhotoError

# TIFF 6.0 and Adobe's technical notes: tags and the two numbers of deflate
COMPRESSION, DEFLATE = 259, (8, 32946)
PLACES = ((273, 279), (324, 325))
CHUNK = 1 << 20


def check_strips(image: TiffImageFile, path: Path) -> None:
    """Inflates each strip or tile of a picture.

    Args:
        image: An open TIFF, not decoded.
        path: Its file.

    Raises:
        BadPhotoError: A strip is damaged or cut off.
    """
    tags = image.tag_v2
    if tags.get(COMPRESSION) not in DEFLATE:
        return
    with path.open("rb") as stream:
        for offsets, counts in PLACES:
            for offset, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
                stream.seek(offset)
                _inflate(stream.read(count))


def _inflate(data: bytes) -> None:
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(data, CHUNK)
        while not inflater.eof and inflater.unconsumed_tail:
            inflater.decompress(inflater.unconsumed_tail, CHUNK)
    except zlib.error as error:
        raise BadPhotoError("damaged: a part of its pixel data has another checksum") from error
    if not inflater.eof:
        raise BadPhotoError("damaged: a part of its pixel data ends too early")
