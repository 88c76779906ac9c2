"""Makes photos as phones and other sources write them, without any file of a real person."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()
SENTINEL = b"PII-SENTINEL-TEST"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>' + SENTINEL + b"</rdf:RDF></x:xmpmeta>"
# What a camera stores for each EXIF orientation, so that a viewer shows the same upright picture.
STORE = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scene(width=192, height=128, seed=0):
    """A picture without symmetry: coloured corners over smooth noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 216, (6, 9, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).copy()
    h, w = height // 4, width // 4
    pixels[:h, :w], pixels[:h, -w:], pixels[-h:, :w] = (230, 30, 30), (30, 200, 40), (30, 40, 220)
    return Image.fromarray(pixels)


def noise(width=640, height=512, seed=1):
    """A picture that does not compress, so that every part of its file carries pixels."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.normal(128, 35, (height, width, 3)).clip(0, 255).astype(np.uint8))


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010E] = SENTINEL.decode()
    block.get_ifd(0x8825).update({1: "N", 2: (55.0, 48.0, 28.0), 3: "E", 4: (37.0, 52.0, 1.0), 29: SENTINEL.decode()})
    return block


def encode(image, kind, **options):
    stream = io.BytesIO()
    if kind == "HEIF":
        options = {"quality": 90, "enc_params": {"preset": "ultrafast"}} | options
    image.save(stream, kind, **options)
    return stream.getvalue()


def as_stored(image, orientation):
    turn = STORE[orientation]
    return image if turn is None else image.transpose(turn)


def heic_with_exif_only(image, orientation):
    """HEIC as some phones write it: turned pixels, an EXIF orientation, no irot."""
    data = encode(as_stored(image, orientation), "HEIF", exif=exif(1).tobytes(), quality=-1, chroma=444)
    found = [struct.pack(f"{end}HHIH", 0x0112, 3, 1, 1) for end in "<>"]
    want = [struct.pack(f"{end}HHIH", 0x0112, 3, 1, orientation) for end in "<>"]
    assert sum(data.count(entry) for entry in found) == 1
    for entry, replacement in zip(found, want, strict=True):
        data = data.replace(entry, replacement)
    return data


def png16(pixels):
    """A PNG of 16-bit RGB, which Pillow reads but does not write; pixels (H, W, 3) uint16."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return png_file(header, zlib.compress(rows))


def png_file(header, data):
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def display_p3():
    """A Display P3 profile (ICC.1:2001-04, matrix and gamma table of sRGB's curve), as small as it gets."""
    curve = np.linspace(0, 1, 1024)
    curve = np.where(curve <= 0.04045, curve / 12.92, ((curve + 0.055) / 1.055) ** 2.4)
    table = b"curv\0\0\0\0" + struct.pack(">I", 1024) + (curve * 65535).round().astype(">u2").tobytes()

    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    name = b"Display P3"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + bytes(1 + 4 + 4 + 2 + 1 + 67)
    tags = {
        b"desc": desc,
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.51512, 0.2412, -0.00105),
        b"gXYZ": xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": xyz(0.1571, 0.06657, 0.78407),
        b"rTRC": table,
        b"gTRC": table,
        b"bTRC": table,
    }
    index, body, start = b"", b"", 132 + 12 * len(tags)
    for key, content in tags.items():
        content += bytes(-len(content) % 4)
        index += key + struct.pack(">II", start + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    assert len(head) == 128
    return head + struct.pack(">I", len(tags)) + index + body


def difference(first, second):
    """Mean absolute difference of two pictures, infinite when their sizes differ."""
    if first.size != second.size:
        return float("inf")
    return float(np.abs(np.asarray(first).astype(int) - np.asarray(second).astype(int)).mean())
