import pytest

from src.core.sealed import read_sealed, write_sealed

DATA = b"a latent, a picture, a state"


def test_sealed_file_comes_back(tmp_path):
    write_sealed(tmp_path / "x", DATA)
    assert read_sealed(tmp_path / "x") == DATA
    assert read_sealed(tmp_path / "nothing") is None


@pytest.mark.parametrize("position", [0, 13, len(DATA) - 1, len(DATA), len(DATA) + 31])
def test_a_flipped_bit_is_named_and_the_file_is_gone(tmp_path, capsys, position):
    write_sealed(tmp_path / "x", DATA)
    content = bytearray((tmp_path / "x").read_bytes())
    content[position] ^= 4
    (tmp_path / "x").write_bytes(content)
    assert read_sealed(tmp_path / "x") is None
    assert f"{tmp_path}/x: damaged" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("length", [0, 5, 32, len(DATA), len(DATA) + 31])
def test_a_cut_file_is_named_and_gone(tmp_path, length):
    write_sealed(tmp_path / "x", DATA)
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:length])
    assert read_sealed(tmp_path / "x") is None
    assert not (tmp_path / "x").exists()
