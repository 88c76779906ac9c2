"""Text in Markdown: a renderer shows it letter by letter, and makes nothing of it."""

import re

import pytest
from markdown_it import MarkdownIt

from src.reporting.inputs import read_inputs
from src.reporting.markdown_text import escape_markdown, picture_link
from src.reporting.page import build_report
from tests.reporting.project import facts

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = (
    "![x](http://127.0.0.1/pixel.png)",
    "[click](javascript:alert(1))",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<javascript:alert(1)>",
    "<http://127.0.0.1/>",
    "a | b | c",
    "**bold** *it* _it_ __bo__ ~~gone~~ `code` ``",
    "# heading",
    "- item",
    "+ item",
    "1. item",
    "2) item",
    "---",
    "===",
    "> quote",
    " # indented",
    "\\ \\[x\\](y)",
    "&lt;b&gt; &copy;",
    "[ref]: http://127.0.0.1",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_and_makes_nothing(text):
    shown = " ".join(text.split())
    alone = RENDERER.parse(escape_markdown(text))
    assert [token.type for token in alone] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in alone[1].children} <= {"text", "text_special"}
    assert "".join(child.content for child in alone[1].children).strip() == shown
    cells = RENDERER.parse(f"| head | other |\n|---|---|\n| {escape_markdown(text)} | end |\n")
    inside = [token for token in cells if token.type == "inline"]
    assert ["".join(child.content for child in token.children).strip() for token in inside[2:]] == [shown, "end"]


def test_a_text_is_one_line_and_calls_nobody():
    assert escape_markdown("a\n\n# b\u2028c") == "a # b c"
    assert escape_markdown("thanks @someone") == "thanks &#64;someone"
    assert escape_markdown("dino_vits16 and step-000200, +0.2 (x)") == "dino_vits16 and step-000200, +0.2 (x)"


def test_an_escaped_text_is_not_escaped_again():
    once = escape_markdown("a * b")
    assert escape_markdown(once) == once == "a \\* b"
    assert escape_markdown(3) == 3


def test_a_picture_of_any_name_is_one_picture():
    (paragraph,) = [
        token for token in RENDERER.parse(picture_link("a](b) !", "../x/a b(1) [ö]<.png")) if token.type == "inline"
    ]
    (image,) = paragraph.children
    assert image.type == "image"
    assert image.attrs["src"] == "../x/a%20b%281%29%20%5B%C3%B6%5D%3C.png"


def test_the_report_makes_nothing_of_what_is_in_its_tables(own_project, tmp_path):
    hostile = " ".join(text for text in HOSTILE if "\n" not in text)
    for name in ("data/samples/manifest.csv", "metrics/metrics_meta.json"):
        path = own_project / name
        text = path.read_text()
        hostile_cell = hostile.replace('"', '""')
        changed = (
            re.sub(r"a sksToy toy in the jungle", f'"{hostile_cell}"', text)
            if name.endswith("csv")
            else text.replace("DINO ViT-S/16", hostile.replace("\\", "\\\\"))
        )
        assert changed != text
        path.write_text(changed)
    assert hostile in set(read_inputs(own_project).manifest["prompt"])
    out = tmp_path / "report/r.html"
    build_report(own_project, out, facts())
    tokens = RENDERER.parse(out.with_suffix(".md").read_text())
    flat = [*tokens, *(child for token in tokens for child in token.children or ())]
    assert {token.type for token in flat} & {"html_block", "html_inline", "code_inline", "fence"} == set()
    links = [token.attrs["href"] for token in flat if token.type == "link_open"]
    assert all(link.startswith("https://") for link in links)
    assert all(str(token.attrs["src"]).startswith("../data/samples/") for token in flat if token.type == "image")
