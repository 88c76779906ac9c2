import pytest

from src.commands.export_lora import export
from src.core.errors import ConfigError


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"a folder; expected the name of a \.safetensors file"):
        export(tmp_path, tmp_path)
