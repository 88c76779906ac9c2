"""Decodes one photo to upright 8-bit sRGB pixels without metadata, or says why it cannot be used."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, _imaging
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from src.core.errors import BadPhotoError
from src.data.photos import colour
from src.data.photos.capture import Capture, read_capture
from src.data.photos.damage import check_coded_data, check_extents, check_tiles, undo_transforms
from src.data.photos.header import DECODE_ERRORS, OPENERS, Header, broken
from src.data.photos.heif_boxes import Layout
from src.data.photos.jpeg_scan import check_jpeg, check_warnings
from src.data.photos.png_key import apply_key
from src.data.photos.tiff_strips import check_strips

ORIENTATION = 0x0112
# EXIF 2.32, tag 274: what turns stored pixels upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# clap has fractions of a pixel, and readers round them differently
ROUNDED = 1
IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE = 256, 257, 258

# Blocks of this size always come from mmap and go back to the system; Pillow's own 16 MB fragment the heaps of threads
# (four 200-megapixel photos one after another: 3.0 GB against 1.5 GB).
_imaging.set_block_size(64 << 20)
# Pillow's limit is below what phones take; check_size is the limit here, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None
# Photos are decoded side by side, which scales better than the threads inside one; nothing but the photo is wanted.
pillow_heif.options.DECODE_THREADS = 1
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False


@dataclass(frozen=True)
class DecodedPhoto:
    """Upright RGB pixels (sRGB, uint8, empty `info`), and how the file stored them."""

    image: Image.Image
    stored_size: tuple[int, int]
    orientation: int
    profile: str
    bit_depth: int
    capture: Capture


@dataclass(frozen=True)
class _Stored:
    """Pixels as a decoder gave them, and what is left to do: `turn` is an EXIF orientation not yet applied.

    `is_srgb` says that `nclx` was applied already, to more than 8 bits.
    """

    image: Image.Image
    icc: bytes | None
    nclx: tuple[int, int] | None
    is_srgb: bool
    stored_size: tuple[int, int]
    orientation: int
    turn: int
    bit_depth: int
    exif: bytes


def check_size(size: tuple[int, int], max_megapixels: float) -> None:
    """Refuses what a header says to be too large, before any pixel is decoded.

    Args:
        size: Width and height.
        max_megapixels: The largest area that is accepted, in millions of pixels.

    Raises:
        BadPhotoError: The area is larger.
    """
    if size[0] * size[1] > max_megapixels * 1e6:
        raise BadPhotoError(
            f"{size[0]} x {size[1]} pixels are {size[0] * size[1] / 1e6:z.0f} megapixels; "
            f"convert.max_megapixels is {max_megapixels:g}"
        )


def decode_photo(path: Path, header: Header, max_megapixels: float) -> DecodedPhoto:
    """Decodes the primary picture of a file.

    Args:
        path: The file.
        header: What `read_header` says of it.
        max_megapixels: The largest area that is accepted, in millions of pixels.

    Returns:
        The photo.

    Raises:
        BadPhotoError: The file is truncated, damaged, too large or coded in a way that cannot be read.
        OSError: The disk fails.
    """
    check_size(header.size, max_megapixels)
    if header.layout is not None:
        check_extents(header.layout)
        check_coded_data(path, header.layout)
    stored = (
        _load_heif(path, header, max_megapixels) if header.format in ("HEIC", "HEIF") else _load_pillow(path, header)
    )
    size, orientation, depth, turn = stored.stored_size, stored.orientation, stored.bit_depth, stored.turn
    profile, capture = colour.describe_profile(stored.icc, stored.nclx), read_capture(stored.exif)
    image = colour.to_srgb(stored.image, stored.icc, None if stored.is_srgb else stored.nclx)
    del stored  # a 200-megapixel picture fits twice into the memory that is allowed, not three times
    if turn in TURNS:
        image = image.transpose(TURNS[turn])
    image.info = {}
    return DecodedPhoto(image, size, orientation, profile, depth, capture)


def _load_heif(path: Path, header: Header, max_megapixels: float) -> _Stored:
    layout = header.layout
    try:
        opened = pillow_heif.open_heif(path.read_bytes(), convert_hdr_to_8bit=False, hdr_to_16bit=False)
        if len(opened) == 0:
            raise BadPhotoError("coded in a way that this build of libheif does not decode")
        # primary_index is 0 where libheif lists other pictures only
        picture = next((found for found in opened if found.info.get("primary")), None)
        if picture is None:
            raise BadPhotoError("its primary picture is hidden, a thumbnail or a part of another one")
        check_size(picture.size, max_megapixels)
        pixels = np.asarray(picture)
    except DECODE_ERRORS as error:
        raise broken(error) from error
    depth = _depth_of(picture.mode)
    mode = picture.mode.split(";")[0].replace("I", "L")
    info: dict[str, Any] = picture.info
    icc = info.get("icc_profile") or None
    nclx = _nclx(layout) if layout is not None else None
    is_hdr = depth > 8 and mode == "RGB" and icc is None and colour.is_far_from_srgb(nclx)
    if layout is not None:
        _check_decoded((pixels.shape[1], pixels.shape[0]), layout.upright_size)
        check_tiles(layout, pixels, depth)
    if is_hdr and nclx is not None:
        signal = nclx
        image = colour.map_bands(pixels, "RGB", lambda band: colour.hdr_to_srgb(band, depth, signal))
    elif depth > 8:
        image = colour.to_8_bit(pixels, depth, mode)
    else:
        image = Image.frombytes(mode, picture.size, picture.data, "raw", mode, picture.stride)
    transforms = layout.transforms if layout is not None else ()
    # libheif turns by irot and imir; a file that has neither them nor clap may still carry an EXIF orientation.
    turn = 1 if transforms else _plausible(pillow_heif.set_orientation({"exif": info.get("exif")}))
    return _Stored(
        image=image,
        icc=icc,
        nclx=nclx,
        is_srgb=is_hdr,
        stored_size=header.size if layout is not None else picture.size,
        orientation=_orientation_of(transforms) if transforms else turn,
        turn=turn,
        bit_depth=depth,
        exif=info.get("exif") or b"",
    )


def _check_decoded(size: tuple[int, int], wanted: tuple[int, int] | None) -> None:
    if wanted is not None and max(abs(size[0] - wanted[0]), abs(size[1] - wanted[1])) > ROUNDED:
        raise BadPhotoError(
            f"damaged: its header speaks of {wanted[0]} x {wanted[1]} pixels, there are {size[0]} x {size[1]}"
        )


def _depth_of(mode: str) -> int:
    """Reads the bits per sample from a mode of pillow_heif such as ``RGB;10``."""
    return int(mode.partition(";")[2] or 8)


def _load_pillow(path: Path, header: Header) -> _Stored:
    family = "JPEG" if header.format == "MPO" else header.format
    if family == "JPEG":
        data = path.read_bytes()
        check_jpeg(data)
        check_warnings(data)
    try:
        if family == "PNG":
            with PngImageFile(path) as png:
                png.verify()  # the checksums of all chunks, which decoding does not look at
        image = OPENERS[family](path)
        before, size = 1, image.size
        if isinstance(image, TiffImageFile):  # Pillow turns it while it loads, and speaks of the turned size
            check_strips(image, path)
            before, size = _exif_orientation(image), (image.tag_v2[IMAGE_WIDTH], image.tag_v2[IMAGE_LENGTH])
        image.load()
    except DECODE_ERRORS as error:
        raise broken(error) from error
    _check_decoded(image.size, header.size)
    if family == "AVIF":  # readers of MIAF turn by irot and imir alone (ISO/IEC 23000-22, 7.3.6.7), XMP says nothing
        turn = _orientation_of(header.layout.transforms) if header.layout is not None else 1
    else:
        turn = _exif_orientation(image)
    return _Stored(
        image=apply_key(image, path) if isinstance(image, PngImageFile) else image,
        icc=image.info.get("icc_profile") or None,
        nclx=_nclx(header.layout) if header.layout is not None else None,
        is_srgb=False,
        stored_size=size,
        orientation=before if before != 1 else turn,
        turn=turn,
        bit_depth=_bit_depth(image, header.layout),
        exif=image.info.get("exif") or b"",
    )


def _exif_orientation(image: ImageFile) -> int:
    try:
        return _plausible(image.getexif().get(ORIENTATION))
    except DECODE_ERRORS as error:
        broken(error)  # a malformed Exif block says nothing; the disk's own errors go on
        return 1


def _plausible(orientation: object) -> int:
    return orientation if isinstance(orientation, int) and orientation in TURNS else 1


def _orientation_of(transforms: Sequence[tuple[str, int]]) -> int:
    """Names irot and imir by the EXIF orientation that does the same."""
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    inverse = tuple((name, -value if name == "irot" else value) for name, value in transforms)
    upright = undo_transforms(stored, tuple(reversed(inverse)))
    for orientation, turn in TURNS.items():
        if np.array_equal(np.asarray(Image.fromarray(stored).transpose(turn)), upright):
            return orientation
    return 1


def _nclx(layout: Layout) -> tuple[int, int] | None:
    for item in (layout.primary, *layout.coded_items()):
        for name, content in item.properties:
            if name == "colr" and content[:4] == b"nclx" and len(content) >= 8:
                primaries, transfer = struct.unpack_from(">HH", content, 4)
                return primaries, transfer
    return None


def _bit_depth(image: ImageFile, layout: Layout | None) -> int:
    if layout is not None:
        for item in layout.coded_items():
            config = item.property("av1C")
            if config is not None and len(config) > 2:
                return (12 if config[2] & 0x20 else 10) if config[2] & 0x40 else 8
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))))
    return 8
