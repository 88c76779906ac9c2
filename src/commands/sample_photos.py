"""Takes the sample photos that come with the project: `python -m src.commands.sample_photos`. Writes data/raw.

They are stored as phones store photos: HEIC, a sensor that was held in any of four ways, Display P3 on some, and EXIF
with an owner and a place, so that a fresh clone runs on what users have.
"""

import struct
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageCms

from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.core.files import write_bytes
from src.tabletop.subject import Shot, plan_shots, take_photo

SEED = 0
LONG_SIDE = 4032
# a quarter smaller and twice as fast as the encoder's own preset, for 0.2 to 0.4 dB
QUALITY, PRESET = 45, {"preset": "superfast"}
OWNER = "PII-SENTINEL-SAMPLE"
FIRST_NUMBER = 4100
# EXIF's orientation for a camera that was turned so many quarters
ORIENTATIONS = (1, 8, 3, 6)
ORIENTATION, ARTIST, GPS = 0x0112, 0x013B, 0x8825
# SMPTE EG 432-1 primaries with white D65, adapted to D50 by Bradford's matrix as ICC.1 wants them
P3_PRIMARIES = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
D50 = (0.9642, 1.0, 0.8249)


def write_sample_photos(folder: Path, shots: Sequence[Shot], long_side: int) -> None:
    """Writes the photos.

    Args:
        folder: Where to; made where it is missing.
        shots: What to take.
        long_side: Of every photo, pixels; a multiple of 8.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, shot in enumerate(shots, FIRST_NUMBER):
        write_bytes(folder / f"IMG_{number}.HEIC", encode_photo(take_photo(shot, long_side), shot))


def encode_photo(upright: Image.Image, shot: Shot) -> bytes:
    """Stores a photo as a phone does: pixels as the sensor lay, and metadata that says how to turn them.

    Args:
        upright: RGB, sRGB.
        shot: How it was taken.

    Returns:
        A HEIC file.
    """
    exif = Image.Exif()
    exif[ORIENTATION], exif[ARTIST] = ORIENTATIONS[shot.quarter_turns], OWNER
    exif.get_ifd(GPS).update({1: "N", 2: (55.0, 45.0, 7.0), 3: "E", 4: (37.0, 37.0, 4.0)})
    options = {"icc_profile": display_p3()} if shot.wide_gamut else {}
    picture = to_display_p3(upright) if shot.wide_gamut else upright
    stream = BytesIO()
    pillow_heif.from_pillow(picture.rotate(-90 * shot.quarter_turns, expand=True)).save(
        stream, quality=QUALITY, enc_params=PRESET, exif=exif.tobytes(), **options
    )
    return stream.getvalue()


def to_display_p3(image: Image.Image) -> Image.Image:
    """Converts sRGB numbers to the Display P3 numbers of the same colours."""
    target = ImageCms.ImageCmsProfile(BytesIO(display_p3()))
    converted = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), target, outputMode="RGB")
    assert converted is not None, "only an in-place conversion returns nothing"
    return converted


def display_p3() -> bytes:
    """Builds an ICC profile (ICC.1:2001-04, matrix and curve): the primaries of P3 with the curve of sRGB."""
    code = np.linspace(0, 1, 1024)
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    curve = b"curv\0\0\0\0" + struct.pack(">I", len(light)) + (light * 65535).round().astype(">u2").tobytes()
    name = b"Display P3\0"
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78), b"wtpt": _xyz(D50)}
    tags |= {key: _xyz(primary) for key, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), P3_PRIMARIES, strict=True)}
    start, index, body = 132 + 12 * (len(tags) + 3), b"", b""
    for key, content in tags.items():
        index += key + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    # one curve for all channels
    index += b"".join(key + struct.pack(">II", start + len(body), len(curve)) for key in (b"rTRC", b"gTRC", b"bTRC"))
    body += curve
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + _xyz(D50)[8:] + bytes(48)
    return head + struct.pack(">I", len(tags) + 3) + index + body


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


@one_line("sample_photos")
def main() -> None:
    """Takes them; about four minutes on one core."""
    parser = command_line("sample_photos", __doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=layout.RAW, help=f"where to (default: {layout.RAW})")
    write_sample_photos(parser.parse_args().folder, plan_shots(SEED), LONG_SIDE)


if __name__ == "__main__":
    main()
