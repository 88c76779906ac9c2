import pytest

from src.core.config import load_config
from src.core.quoting import quote_text


@pytest.mark.parametrize(
    "text", ["a toy, on the moon", "it's a [toy] {x}: 50%", "a=b", 'say "hi"', r"back\slash", "plain"]
)
def test_prompts_need_no_quotes_of_hydra(text):
    assert load_config([quote_text(f"prompt={text}")]).prompt == text


@pytest.mark.parametrize("override", ["prompt=null", "prompt='a, b'", "lr=1e-4", "model=sdxl", "prompt="])
def test_other_overrides_are_not_quoted(override):
    assert quote_text(override) == override
