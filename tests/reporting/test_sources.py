"""Links that a reader clicks on lead to the web and nowhere else."""

import pytest

from src.core.errors import ConfigError
from src.reporting.texts import Source, load_sources


@pytest.mark.parametrize("link", ["https://example.org/a?b=c#d", "http://example.org", "HTTPS://example.org/%20"])
def test_a_web_address_is_kept(link):
    assert Source("a paper", link).link == link


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        " https://example.org",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "//example.org",
        "https://",
        "https://example.org/ onclick=alert(1)",
        'https://example.org/"onclick=alert(1)',
        "https://example.org/>x",
        "",
    ],
)
def test_anything_else_is_refused(link):
    with pytest.raises(ConfigError, match="expected an address that begins with http:// or https://"):
        Source("a paper", link)


def test_the_sources_of_the_project_are_web_addresses():
    english, russian = (load_sources(language) for language in ("en", "ru"))
    assert len(english) > 5
    assert [one.link for one in russian] == [one.link for one in english]
    assert sum(one.what != other.what for one, other in zip(english, russian, strict=True)) > len(english) - 4
