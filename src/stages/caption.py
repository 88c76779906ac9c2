"""Writes a caption for each crop.

Reads data/crops, images.csv and the text files in data/raw, writes captions.csv and tokens.csv.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from src.core import layout
from src.core.app import Stage
from src.core.building import build
from src.core.errors import CaptionError, ConfigError, EmptyDatasetError
from src.core.files import write_csv
from src.core.settings import Settings
from src.core.tables import read_table
from src.core.weights import find_model
from src.data.caption_file import WrittenCaption, match_captions, read_captions
from src.data.captioning import Captioner, check_length, fits, load_tokenizers, report_token
from src.data.captions import CaptionRules, compose_caption, compose_user_caption, shorten_caption
from src.data.photos.listing import list_photos
from src.training.determinism import set_environment

ON_LONG = ("fail", "shorten")
SHORTEN = (
    "`python -m src.stages.config set caption.on_long=shorten` leaves out the last parts of a caption, and says so"
)
# captions that are shown beside a captioner's note
EXAMPLES = 3


@dataclass(frozen=True)
class CaptionRecord:
    """One row of captions.csv."""

    image_id: str
    caption: str
    source: Literal["blip", "user"]
    raw: str


def caption_images(
    crops: Path,
    images: Path,
    written: Sequence[WrittenCaption],
    out: Path,
    rules: CaptionRules,
    captioner: Captioner,
    tokenizers: Mapping[str, Any],
) -> list[CaptionRecord]:
    """Writes a caption for each crop: the person's where there is one, else the captioner's.

    Args:
        crops: The folder with crops.csv and the crops.
        images: The folder with images.csv, which knows the photos' names.
        written: The person's captions.
        out: The table to write.
        rules: The subject and the start of each caption.
        captioner: Describes the photos that have no written caption.
        tokenizers: The tokenizers of the base model, which limit the length.

    Returns:
        The rows, in order of the image ids.
    """
    ids = sorted(read_table(crops / layout.CROP_TABLE.name, "image_id")["image_id"])
    table = read_table(images / layout.IMAGE_TABLE.name, "image_id", "source")
    source_of = dict(zip(table["image_id"], table["source"], strict=True))
    if unknown := sorted(set(ids) - set(source_of)):
        raise EmptyDatasetError(f"{images / layout.IMAGE_TABLE.name}: no row for {', '.join(unknown)}")
    matched = match_captions(written, source_of)
    records = {i: _user_record(i, matched[i], rules) for i in ids if i in matched}
    # Written captions first: their errors need no model.
    records = _fit_length(records, source_of, rules, tokenizers)
    missing = [image_id for image_id in ids if image_id not in records]
    if missing:
        described = captioner.describe([crops / f"{image_id}.png" for image_id in missing])
        for image_id, raw in zip(missing, described, strict=True):
            records[image_id] = CaptionRecord(image_id, compose_caption(raw, rules), "blip", raw)
        records = _fit_length(records, source_of, rules, tokenizers)
        _print_note(captioner.note, [(source_of[i], records[i].caption) for i in missing])
    rows = [records[image_id] for image_id in ids]
    write_csv(out, pd.DataFrame([asdict(row) for row in rows]))
    return rows


def write_token_report(out: Path, token: str, tokenizers: Mapping[str, Any]) -> None:
    """Writes and prints how each tokenizer splits the rare token.

    Args:
        out: The table to write.
        token: The rare token.
        tokenizers: The tokenizers of the base model.
    """
    rows = report_token(token, tokenizers)
    write_csv(out, pd.DataFrame([asdict(row) for row in rows]))
    for row in rows:
        print(f"caption: {row.tokenizer} splits {row.token!r} into {row.pieces}")
        if row.warning:
            print(f"caption: warning: {row.warning}")


def _user_record(image_id: str, written: WrittenCaption, rules: CaptionRules) -> CaptionRecord:
    if (times := len(rules.find_token(written.text))) > 1:
        kept = f"the first stays, then {rules.class_name!r}"
        print(f"caption: {written.where}: {rules.token!r} stands {times} times; {kept}")
    try:
        return CaptionRecord(image_id, compose_user_caption(written.text, rules), "user", written.text)
    except CaptionError as error:
        raise CaptionError(f"{written.where}: {error}") from error


def _fit_length(
    records: Mapping[str, CaptionRecord],
    source_of: Mapping[str, str],
    rules: CaptionRules,
    tokenizers: Mapping[str, Any],
) -> dict[str, CaptionRecord]:
    fitted = dict(records)
    if rules.shorten:
        for image_id, record in records.items():
            caption = shorten_caption(record.caption, rules, lambda text: fits(text, tokenizers))
            if caption != record.caption:
                print(f"caption: {source_of[image_id]}: shortened to {caption!r}")
                fitted[image_id] = replace(record, caption=caption)
    try:
        check_length({source_of[image_id]: fitted[image_id].caption for image_id in sorted(fitted)}, tokenizers)
    except CaptionError as error:
        raise CaptionError(f"{error}\nshorten them yourself, or choose caption.on_long=shorten: {SHORTEN}") from error
    return fitted


def _print_note(note: str, captions: Sequence[tuple[str, str]]) -> None:
    if note:
        print(f"caption: note: {note}; look at data/captions.csv, or write captions.txt. For example:")
        for source, caption in captions[:EXAMPLES]:
            print(f"caption:   {source}: {caption}")


def _run(params: Settings) -> None:
    if params.caption.on_long not in ON_LONG:
        raise ConfigError(f"caption.on_long={params.caption.on_long}: expected one of {', '.join(ON_LONG)}")
    rules = CaptionRules(
        params.caption.prefix,
        params.subject.token,
        params.subject.class_name,
        tuple(params.caption.other_names),
        shorten=params.caption.on_long == "shorten",
    )
    tokenizers = load_tokenizers(find_model(params.model.id, params.model.revision, config=params.model.config))
    write_token_report(layout.TOKENS, rules.token, tokenizers)
    rows = caption_images(
        layout.CROPS,
        layout.IMAGES,
        read_captions(layout.RAW, list_photos(layout.RAW).texts),
        layout.CAPTIONS,
        rules,
        build(params.captioner, "captioner"),
        tokenizers,
    )
    written = sum(row.source == "user" for row in rows)
    print(f"caption: {len(rows)} captions, {written} of them written by a person")


def main() -> None:
    """Runs the stage."""
    set_environment()
    Stage("caption", _run, writes=layout.CAPTIONS).main()


if __name__ == "__main__":
    main()
