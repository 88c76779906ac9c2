import json
import struct
import zlib
from dataclasses import asdict, replace

import pytest
from PIL import Image

from src.core.errors import ConfigError
from src.core.picture_record import CHUNK, MAX_BYTES, SIGNATURE, PictureRecord, read_picture
from src.sampling.cache import png_bytes

RECORD = PictureRecord(
    format=1,
    prompt='a "sksToy" toy,\nредкий',
    negative_prompt="",
    seed=2**63 - 1,
    steps=30,
    sampler="DDIMScheduler",
    sampler_options={"eta": 0.5, "use": True, "kind": "x", "none": None},
    guidance_scale=7.5,
    width=64,
    height=96,
    batch_size=8,
    dtype="fp32",
    device="cpu",
    torch="2.9",
    model="sd15",
    model_sha256="a" * 64,
    adapters=[{"name": "step-000100", "sha256": "b" * 64, "weight": -0.5}],
    fuse=None,
    start_sha256="",
    strength=1.0,
)


def png(tmp_path, text, keyword=CHUNK):
    path = tmp_path / "x.png"
    path.write_bytes(png_bytes(Image.new("RGB", (8, 8)), {keyword: text}))
    return path


def test_a_picture_says_what_was_written(tmp_path):
    assert read_picture(png(tmp_path, RECORD.dump())) == RECORD
    assert RECORD.dump().isascii()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"prompt": "x" * 9000},
        {"prompt": 3},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": True},
        {"seed": "3"},
        {"steps": 0},
        {"sampler_options": {"a": [1]}},
        {"sampler_options": {"a": {"_target_": "os.system"}}},
        {"guidance_scale": float("nan")},
        {"guidance_scale": float("inf")},
        {"guidance_scale": 10**400},
        {"sampler_options": {"eta": -(10**400)}},
        {"width": 10**9},
        {"batch_size": 10**6},
        {"dtype": "int8"},
        {"device": "cuda:0; rm"},
        {"model_sha256": "A" * 64},
        {"adapters": [{"name": "x", "sha256": "b" * 64}]},
        {"adapters": [{"name": "x", "sha256": "b" * 64, "weight": float("inf")}]},
        {"adapters": [{"name": "x", "sha256": "b" * 64, "weight": 1, "path": "/etc"}]},
        {"adapters": [RECORD.adapters[0]] * 17},
        {"fuse": 1},
        {"start_sha256": "x"},
        {"strength": 2},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_value_of_its_kind_is_refused(tmp_path, change):
    with pytest.raises(ConfigError, match=rf"x\.png: the text chunk {CHUNK}"):
        read_picture(png(tmp_path, json.dumps({**asdict(RECORD), **change})))


@pytest.mark.parametrize("text", ["{", "[]", "null", "{}", "[" * 9000])
def test_other_text_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=rf"the text chunk {CHUNK}"):
        read_picture(png(tmp_path, text))


def chunk(kind, data, checksum=None):
    return struct.pack(">I", len(data)) + kind + data + (checksum or struct.pack(">I", zlib.crc32(kind + data)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GIF89a", "no PNG"),
        (SIGNATURE, "says nothing of how it was made"),
        (SIGNATURE + b"\xff\xff\xff\xfftEXt", "says nothing"),
        (SIGNATURE + chunk(b"tEXt", b"heldout\0{}", b"1234"), "is damaged"),
        (SIGNATURE + chunk(b"tEXt", b"heldout\0" + b" " * MAX_BYTES), "over 64 KiB"),
        # compressed text may be of any length: none is read
        (SIGNATURE + chunk(b"zTXt", b"heldout\0\0" + zlib.compress(b"{}")), "says nothing"),
        # what follows the pixels is not looked at
        (SIGNATURE + chunk(b"IDAT", b"") + chunk(b"tEXt", b"heldout\0{}"), "says nothing"),
    ],
)
def test_other_files_are_refused(tmp_path, data, message):
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_picture(path)


def test_a_missing_file_and_a_picture_of_others_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(ConfigError, match="says nothing of how it was made"):
        read_picture(png(tmp_path, "Steps: 3", "parameters"))
    assert replace(RECORD, seed=0).dump() != RECORD.dump()
