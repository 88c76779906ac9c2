"""Finds damage in HEIF and AVIF files that decoders pass over in silence.

libheif fills a tile that it cannot decode with green, and does not report what libde265 warns of.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.core.errors import BadPhotoError
from src.data.photos.heif_boxes import Item, Layout
from src.data.photos.hevc import check_picture

# ITU-T H.265 7.4.2: inside a NAL unit 00 00 00, 00 00 01 and 00 00 02 never occur, an encoder writes 00 00 03 xx.
FORBIDDEN = re.compile(rb"\0\0[\0-\2]")
# Seen at the end of NAL units that were cut out of a byte stream; longer runs are damage.
TRAILING_ZEROS = 3
# Tiles of one colour may be stored once; a file whose tiles are all the same bytes is an attack on time.
SHARED_BYTES = 16
# AV1 has no such rule, but its arithmetic coder writes no long runs: 16 bytes is the most seen, on flat pictures.
AV1_ZEROS = re.compile(rb"\0{256}")
# What libheif leaves where a tile is missing: YCbCr 0, 0, 0, whose green depends on the matrix (BT.601: 136).
GREENS = range(60, 200)


def check_extents(layout: Layout) -> None:
    """Checks that every byte that the header speaks of lies within the file.

    Args:
        layout: The file's boxes.

    Raises:
        BadPhotoError: The file is truncated.
    """
    end = max((offset + length for item in layout.items.values() for offset, length in item.extents), default=0)
    if end > layout.file_bytes:
        raise BadPhotoError(f"truncated: {layout.file_bytes} bytes, its header speaks of {end}")
    coded = sum(length for item in layout.coded_items() for _, length in item.extents)
    if coded > SHARED_BYTES * layout.file_bytes:
        raise BadPhotoError(f"damaged: its header speaks of {coded} bytes of pixel data in {layout.file_bytes}")


def check_coded_data(path: Path, layout: Layout) -> None:
    """Checks the coded pixels for what no encoder writes: HEVC units that do not fit, blocks of zeros.

    Args:
        path: The file.
        layout: Its boxes, whose extents lie within the file.

    Raises:
        BadPhotoError: The file was damaged in place.
    """
    with path.open("rb") as stream:
        for item in layout.coded_items():
            data = bytearray()
            for offset, length in item.extents:
                stream.seek(offset)
                data += stream.read(length)
            if item.kind in (b"hvc1", b"hev1"):
                _check_hevc(item, bytes(data))
            elif item.kind == b"av01" and AV1_ZEROS.search(data):
                raise BadPhotoError("damaged: a part of its pixel data is zeroed")


def _check_hevc(item: Item, data: bytes) -> None:
    config = item.property("hvcC")
    if config is None or len(config) < 22:
        raise BadPhotoError("damaged: its decoder configuration is missing")
    length_bytes, at = (config[21] & 3) + 1, 0
    units = []
    while at < len(data):
        size = int.from_bytes(data[at : at + length_bytes], "big")
        unit = data[at + length_bytes : at + length_bytes + size]
        at += length_bytes + size
        if size < 2 or at > len(data) or unit[0] & 0x80:
            raise BadPhotoError("damaged: its pixel data does not divide into HEVC units")
        kept = unit.rstrip(b"\0")
        if len(unit) - len(kept) > TRAILING_ZEROS or FORBIDDEN.search(kept):
            raise BadPhotoError("damaged: its pixel data holds bytes that HEVC forbids")
        units.append(unit)
    check_picture(config, units)


def check_tiles(layout: Layout, pixels: NDArray[np.integer], bit_depth: int) -> None:
    """Looks for whole tiles of the green that libheif leaves where it could not decode one.

    Args:
        layout: The file's boxes.
        pixels: The decoded photo as libheif turned it, (H, W, C) with C of 3 or 4.
        bit_depth: Bits per sample.

    Raises:
        BadPhotoError: A tile is missing.
    """
    tile_w, tile_h = layout.tile_size or (0, 0)
    is_cropped = any(name == "clap" for name, _ in layout.transforms)
    if tile_w == 0 or tile_h == 0 or pixels.ndim != 3 or is_cropped:
        return
    stored = undo_transforms(pixels, layout.transforms)[..., :3]
    for top in range(0, stored.shape[0], tile_h):
        for left in range(0, stored.shape[1], tile_w):
            block = stored[top : top + tile_h, left : left + tile_w]
            red, green, blue = (int(value) for value in block[0, 0])
            if red == blue == 0 and green >> (bit_depth - 8) in GREENS and (block == block[0, 0]).all():
                raise BadPhotoError(f"damaged: the tile at {left}, {top} is missing")


def undo_transforms(pixels: NDArray[np.integer], transforms: tuple[tuple[str, int], ...]) -> NDArray[np.integer]:
    """Returns a view of decoded pixels as they are stored, before irot and imir.

    Args:
        pixels: (H, W) or (H, W, C).
        transforms: irot and imir in the order in which they were applied.

    Returns:
        (h, w) or (h, w, C), no copy.
    """
    for name, value in reversed(transforms):
        if name == "irot":
            pixels = np.rot90(pixels, -(value // 90))
        elif name == "imir":
            pixels = pixels[:, ::-1] if value == 1 else pixels[::-1]
    return pixels
