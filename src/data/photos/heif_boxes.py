"""Reads the boxes of a HEIF or AVIF file (ISO/IEC 23008-12, 14496-12): which items there are and where their bytes lie.

libheif answers what a picture looks like; this answers whether the file still has all of its bytes.
"""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from src.core.errors import BadPhotoError

MAX_META_BYTES = 16 << 20
# phones write a handful
MAX_FILE_BOXES = 10_000
TRANSFORMS = ("irot", "imir", "clap")
CODED = {b"hvc1": "HEIC", b"hev1": "HEIC", b"av01": "AVIF"}


@dataclass(frozen=True)
class Item:
    """One item: its type, the (offset, length) of its extents in the file, its properties in order."""

    kind: bytes
    extents: tuple[tuple[int, int], ...]
    properties: tuple[tuple[str, bytes], ...]

    def property(self, name: str) -> bytes | None:
        """Returns the content of the first property of that name, or None."""
        return next((content for key, content in self.properties if key == name), None)


@dataclass(frozen=True)
class Layout:
    """The items of a file; `parts` lists what each derived item (grid, overlay) is made of."""

    file_bytes: int
    primary_id: int
    items: dict[int, Item]
    parts: dict[int, tuple[int, ...]]

    @property
    def primary(self) -> Item:
        """The item that stands for the photo."""
        return self.items[self.primary_id]

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height before rotation, as the header says; None where it does not."""
        return _spatial_extent(self.primary)

    @property
    def tile_size(self) -> tuple[int, int] | None:
        """Width and height of the tiles of a grid; None for anything else."""
        tiles = self.parts.get(self.primary_id, ()) if self.primary.kind == b"grid" else ()
        return _spatial_extent(self.items[tiles[0]]) if tiles and tiles[0] in self.items else None

    @property
    def transforms(self) -> tuple[tuple[str, int], ...]:
        """irot (counter-clockwise degrees), imir (1: left-right, 0: top-bottom) and clap, in order of application."""
        return tuple(
            (name, (content[0] & 3) * 90 if name == "irot" else content[0] & 1)
            for name, content in self.primary.properties
            if name in TRANSFORMS and content
        )

    @property
    def upright_size(self) -> tuple[int, int] | None:
        """Width and height after clap, irot and imir; None where the header does not say."""
        size = self.size
        for name, content in self.primary.properties:
            if size is None:
                break
            if name == "irot" and content and content[0] & 1:
                size = size[1], size[0]
            elif name == "clap" and len(content) >= 16:
                width, by, height, under = struct.unpack_from(">4I", content)
                size = (round(width / by), round(height / under)) if by and under else None
        return size

    def coded_items(self) -> list[Item]:
        """Returns the items whose coded pixels make up the photo: the primary one, or the tiles of its grid."""
        found: list[Item] = []
        queue, seen = deque([self.primary_id]), set()
        while queue:
            item_id = queue.popleft()
            if item_id in seen or item_id not in self.items:
                continue
            seen.add(item_id)
            found.append(self.items[item_id])
            queue.extend(self.parts.get(item_id, ()))
        return [item for item in found if item.kind not in (b"grid", b"iovl", b"iden")]

    @property
    def format(self) -> str:
        """HEIC, AVIF, or HEIF for every other coding."""
        coded = self.coded_items()
        return CODED.get(coded[0].kind, "HEIF") if coded else "HEIF"


def _spatial_extent(item: Item) -> tuple[int, int] | None:
    extent = item.property("ispe")
    if extent is None or len(extent) < 12:
        return None
    width, height = struct.unpack_from(">II", extent, 4)
    return width, height


def read_layout(path: Path) -> Layout | None:
    """Parses the top-level meta box.

    Args:
        path: A file that begins with an ftyp box.

    Returns:
        The layout, or None for a file without items (an image sequence).

    Raises:
        BadPhotoError: The boxes are cut off or contradict each other.
    """
    with path.open("rb") as stream:
        file_bytes = path.stat().st_size
        try:
            for kind, start, end in _file_boxes(stream, file_bytes):
                if kind == b"meta":
                    if end > file_bytes or end - start > MAX_META_BYTES:
                        raise BadPhotoError("truncated: the file ends inside its header")
                    stream.seek(start)
                    return _read_meta(stream.read(end - start), start, file_bytes)
        except (struct.error, IndexError) as error:
            raise BadPhotoError("damaged: the boxes of its header do not fit together") from error
    return None


def _file_boxes(stream: BinaryIO, file_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    offset = 0
    for _ in range(MAX_FILE_BOXES):
        if offset + 8 > file_bytes:
            return
        stream.seek(offset)
        kind, body, end = _box_header(stream.read(16), 0, file_bytes - offset)
        yield kind, offset + body, offset + end
        offset += end


def _box_header(data: bytes, offset: int, space: int) -> tuple[bytes, int, int]:
    size, kind = struct.unpack_from(">I4s", data, offset)
    body = 8
    if size == 1:
        (size,) = struct.unpack_from(">Q", data, offset + 8)
        body = 16
    elif size == 0:
        size = space
    if size < body:
        raise BadPhotoError("damaged: the boxes of its header do not fit together")
    return kind, body, size


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    offset = start
    while offset + 8 <= end:
        kind, body, size = _box_header(data, offset, end - offset)
        yield kind, offset + body, min(offset + size, end)
        offset += size


def _uint(data: bytes, offset: int, size: int) -> int:
    if offset + size > len(data):
        raise IndexError(offset)
    return int.from_bytes(data[offset : offset + size], "big")


def _read_meta(data: bytes, base: int, file_bytes: int) -> Layout:
    # QuickTime writes meta as a plain box, everyone else with four bytes of version and flags before the children.
    first = 0 if data[4:8] == b"hdlr" else 4
    boxes = {kind: (start, end) for kind, start, end in _boxes(data, first, len(data))}
    if b"pitm" not in boxes or b"iinf" not in boxes:
        raise BadPhotoError("damaged: its header names no primary picture")
    start, _ = boxes[b"pitm"]
    primary_id = _uint(data, start + 4, 2 if data[start] == 0 else 4)
    idat = base + boxes[b"idat"][0] if b"idat" in boxes else 0
    extents = _read_iloc(data, boxes[b"iloc"][0], idat, file_bytes) if b"iloc" in boxes else {}
    properties = _read_properties(data, *boxes[b"iprp"]) if b"iprp" in boxes else {}
    kinds = _read_iinf(data, *boxes[b"iinf"])
    if primary_id not in kinds:
        raise BadPhotoError("damaged: its header names a primary picture that is not there")
    items = {key: Item(kind, extents.get(key, ()), properties.get(key, ())) for key, kind in kinds.items()}
    return Layout(file_bytes, primary_id, items, _read_iref(data, *boxes[b"iref"]) if b"iref" in boxes else {})


def _read_iinf(data: bytes, start: int, end: int) -> dict[int, bytes]:
    kinds = {}
    for kind, body, _ in _boxes(data, start + (6 if data[start] == 0 else 8), end):
        if kind == b"infe" and data[body] >= 2:
            id_bytes = 2 if data[body] == 2 else 4
            kinds[_uint(data, body + 4, id_bytes)] = data[body + 6 + id_bytes : body + 10 + id_bytes]
    return kinds


def _read_iloc(data: bytes, start: int, idat: int, file_bytes: int) -> dict[int, tuple[tuple[int, int], ...]]:
    version, sizes, more = data[start], data[start + 4], data[start + 5]
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version in (1, 2) else 0
    wide = 4 if version == 2 else 2
    count, at = _uint(data, start + 6, wide), start + 6 + wide
    found = {}
    for _ in range(count):
        item_id, at = _uint(data, at, wide), at + wide
        method = 0
        if version in (1, 2):
            method, at = _uint(data, at, 2) & 15, at + 2
        reference, at = _uint(data, at, 2), at + 2
        base, at = _uint(data, at, base_size), at + base_size
        extent_count, at = _uint(data, at, 2), at + 2
        if extent_count * (index_size + offset_size + length_size) > len(data) - at or (
            extent_count > 1 and offset_size + length_size == 0
        ):
            raise BadPhotoError("damaged: its header speaks of more parts than it has room for")
        extents = []
        for _ in range(extent_count):
            at += index_size
            offset, at = base + _uint(data, at, offset_size), at + offset_size
            length, at = _uint(data, at, length_size), at + length_size
            extents.append((offset + (idat if method == 1 else 0), length or max(file_bytes - offset, 0)))
        if method in (0, 1) and reference == 0:
            found[item_id] = tuple(extents)
    return found


def _read_properties(data: bytes, start: int, end: int) -> dict[int, tuple[tuple[str, bytes], ...]]:
    pool: list[tuple[str, bytes]] = []
    found: dict[int, list[tuple[str, bytes]]] = {}
    for kind, body, stop in _boxes(data, start, end):
        if kind == b"ipco":
            pool = [(name.decode("latin-1"), data[first:last]) for name, first, last in _boxes(data, body, stop)]
        elif kind == b"ipma":
            for item_id, index in _associations(data, body):
                if 0 < index <= len(pool):
                    found.setdefault(item_id, []).append(pool[index - 1])
    return {item_id: tuple(properties) for item_id, properties in found.items()}


def _associations(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    id_bytes = 2 if data[start] == 0 else 4
    index_bytes = 2 if data[start + 3] & 1 else 1
    count, at = _uint(data, start + 4, 4), start + 8
    for _ in range(count):
        item_id, at = _uint(data, at, id_bytes), at + id_bytes
        associations, at = data[at], at + 1
        for _ in range(associations):
            yield item_id, _uint(data, at, index_bytes) & (0x7FFF if index_bytes == 2 else 0x7F)
            at += index_bytes


def _read_iref(data: bytes, start: int, end: int) -> dict[int, tuple[int, ...]]:
    wide = 2 if data[start] == 0 else 4
    parts: dict[int, tuple[int, ...]] = {}
    for kind, body, _ in _boxes(data, start + 4, end):
        if kind == b"dimg":
            count = _uint(data, body + wide, 2)
            first = body + wide + 2
            parts[_uint(data, body, wide)] = tuple(_uint(data, first + i * wide, wide) for i in range(count))
    return parts
