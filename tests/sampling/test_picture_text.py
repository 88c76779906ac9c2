import hashlib

from src.core.provenance import model_digest
from src.sampling.picture_text import base_hash


def test_the_hash_of_a_base_is_its_files_own_or_of_the_name_of_its_revision(tmp_path):
    file = tmp_path / "base.safetensors"
    file.write_bytes(b"weights")
    assert base_hash(model_digest(str(file), None, None, "owner/name")) == hashlib.sha256(b"weights").hexdigest()
    named = hashlib.sha256(b"owner/name@0123:fp16").hexdigest()
    assert base_hash(model_digest("owner/name", "0123", "fp16")) == named
