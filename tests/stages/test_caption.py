"""The caption stage: written captions win, the captioner does the rest, errors come before any model."""

from dataclasses import replace

import pandas as pd
import pytest

from src.core.errors import CaptionError, EmptyDatasetError
from src.core.files import write_csv
from src.data.caption_file import read_captions
from src.data.captioning import load_tokenizers
from src.data.captions import CaptionRules
from src.models.tokenizers import build_clip_tokenizer
from src.stages.caption import caption_images, write_token_report
from tests.tiny.words import WORDS

RULES = CaptionRules("a photo of sksToy toy", "sksToy", "toy")


class SayingTheName:
    """Says the file's name, and which files it was asked for."""

    def __init__(self, note=""):
        self.asked = []
        self.note = note

    def describe(self, images):
        self.asked += [path.stem for path in images]
        return [f"a toy on table {path.stem}" for path in images]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    build_clip_tokenizer(folder / "tokenizer", [*WORDS], "<|endoftext|>", 77)
    return load_tokenizers(folder)


@pytest.fixture
def data(tmp_path):
    ids = ["002-b", "001-a", "003-c"]
    write_csv(tmp_path / "crops" / "crops.csv", pd.DataFrame({"image_id": ids}))
    sources = ["IMG_2.HEIC", "IMG_1.HEIC", "sub/IMG_3.heic", "broken.HEIC"]
    write_csv(tmp_path / "images" / "images.csv", pd.DataFrame({"image_id": [*ids, "004-d"], "source": sources}))
    return tmp_path


def run(data, tokenizers, written=None, rules=RULES, note=""):
    if written is not None:
        (data / "captions.txt").write_text(written)
    captioner = SayingTheName(note)
    captions = read_captions(data, ["captions.txt"])
    tables = (data / "crops", data / "images", captions, data / "captions.csv")
    return captioner, caption_images(*tables, rules, captioner, tokenizers)


def test_caption_images_lets_written_captions_win(data, tokenizers):
    captioner, rows = run(data, tokenizers, "img_1.jpg|sksToy at night\nbroken.jpg|sksToy unseen")
    assert captioner.asked == ["002-b", "003-c"]
    table = pd.read_csv(data / "captions.csv", dtype=str)
    assert table.to_dict("records") == [row.__dict__ for row in rows]
    assert table.to_dict("records")[:2] == [
        {"image_id": "001-a", "caption": "a photo of sksToy toy at night", "source": "user", "raw": "sksToy at night"},
        {
            "image_id": "002-b",
            "caption": "a photo of sksToy toy, on table 002-b",
            "source": "blip",
            "raw": "a toy on table 002-b",
        },
    ]


def test_caption_images_says_where_the_token_stands_twice(data, tokenizers, capsys):
    _, rows = run(data, tokenizers, "IMG_1|sksToy on table, small sksToy\nIMG_2|sksToy on table\nIMG_3|sksToy")
    assert rows[0].caption == "a photo of sksToy toy on table, small toy"
    lines = [line for line in capsys.readouterr().out.splitlines() if "times" in line]
    assert lines == [f"caption: {data}/captions.txt:1: 'sksToy' stands 2 times; the first stays, then 'toy'"]


def test_caption_images_needs_no_captioner_where_all_are_written(data, tokenizers):
    captioner, _ = run(data, tokenizers, "IMG_1|sksToy\nIMG_2|sksToy\nIMG_3|sksToy")
    assert captioner.asked == []


def test_caption_images_gives_the_same_bytes_twice(data, tokenizers):
    run(data, tokenizers)
    first = (data / "captions.csv").read_bytes()
    run(data, tokenizers)
    assert (data / "captions.csv").read_bytes() == first


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("IMG_1.HEIC|a toy without the token", r"captions\.txt:1: .*sksToy"),
        ("\nIMG_9.HEIC|sksToy", r"captions\.txt:2: no photo fits 'IMG_9\.HEIC'"),
        ("IMG_1.HEIC|sksToy " + "on table " * 40, r"IMG_1\.HEIC: \d\d tokens of tokenizer.*on table on table"),
    ],
)
def test_caption_images_refuses_before_the_captioner_and_keeps_earlier_captions(data, tokenizers, written, message):
    run(data, tokenizers)
    first = (data / "captions.csv").read_bytes()
    with pytest.raises(CaptionError, match=message):
        run(data, tokenizers, written)
    assert (data / "captions.csv").read_bytes() == first


def test_captions_over_the_limit_name_the_way_out_and_lose_their_ends_on_request(data, tokenizers, capsys):
    clause = ("on table " * 12).strip()
    written = f"IMG_1|sksToy {clause}, {clause}, {clause}\nIMG_2|sksToy at night"
    with pytest.raises(CaptionError, match=r"config set caption\.on_long=shorten"):
        run(data, tokenizers, written)
    _, rows = run(data, tokenizers, written, replace(RULES, shorten=True))
    kept = {row.image_id: row for row in rows}
    assert kept["001-a"].caption == f"a photo of sksToy toy {clause}, {clause}"
    assert kept["001-a"].raw == f"sksToy {clause}, {clause}, {clause}"
    assert kept["002-b"].caption == "a photo of sksToy toy at night"
    assert capsys.readouterr().out.count("shortened") == 1


def test_a_captioners_note_stands_beside_what_it_wrote(data, tokenizers, capsys):
    run(data, tokenizers, "IMG_1|sksToy at night", note="it knows toys only")
    printed = capsys.readouterr().out
    assert "note: it knows toys only" in printed
    assert "IMG_2.HEIC: a photo of sksToy toy, on table 002-b" in printed
    assert "at night" not in printed  # a person's own words need no warning
    run(data, tokenizers, "IMG_1|sksToy\nIMG_2|sksToy\nIMG_3|sksToy", note="it knows toys only")
    assert "note" not in capsys.readouterr().out


def test_caption_images_refuses_a_crop_that_images_csv_does_not_know(data, tokenizers):
    write_csv(data / "crops" / "crops.csv", pd.DataFrame({"image_id": ["stranger"]}))
    with pytest.raises(EmptyDatasetError, match="stranger"):
        run(data, tokenizers)


def test_write_token_report_has_a_row_per_tokenizer(tokenizers, tmp_path, capsys):
    write_token_report(tmp_path / "tokens.csv", "the", tokenizers)
    table = pd.read_csv(tmp_path / "tokens.csv")
    assert list(table.columns) == ["tokenizer", "token", "pieces", "n_pieces", "single", "warning"]
    assert table.loc[0, "single"]
    assert "warning" in capsys.readouterr().out
