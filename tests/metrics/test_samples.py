"""The manifest and the files must agree, to the byte."""

import pandas as pd
import pytest
from PIL import Image

from src.core.errors import EmptyDatasetError, MetricError
from src.metrics.samples import (
    checkpoint_steps,
    copy_samples,
    prompt_digest,
    read_references,
    read_samples,
    real_samples,
    remove_token,
)
from tests.metrics.synthetic import write_photos, write_samples


def test_samples_are_read_in_order(tmp_path):
    write_samples(tmp_path).sample(frac=1, random_state=1).to_csv(tmp_path / "manifest.csv", index=False)
    samples = read_samples(tmp_path)
    keys = [(s.variant, s.prompt_id, s.seed) for s in samples]
    assert keys == sorted(keys)
    assert len(keys) == 8
    assert samples[0].text == "a toy d0"
    assert checkpoint_steps(sample.variant for sample in samples) == {"step-000010": 10}


def test_samples_ignore_a_desktops_litter(tmp_path):
    write_samples(tmp_path)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    assert len(read_samples(tmp_path)) == 8


def drop_file(folder, table):
    (folder / table["path"][3]).unlink()


def add_file(folder, table):
    (folder / "base/stray.png").write_bytes(b"x")


def change_file(folder, table):
    Image.new("RGB", (8, 8), "white").save(folder / table["path"][0])


def edit(change):
    def apply(folder, table):
        changed = change(table)
        changed.to_csv(folder / "manifest.csv", index=False)
        for path in set(table["path"]) - set(changed["path"]):
            (folder / path).unlink()

    return apply


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop_file, r"missing files: base/t0/1\.png"),
        (add_file, r"does not list: base/stray\.png"),
        (change_file, r"base.d0.0\.png: sha256 is"),
        (edit(lambda t: pd.concat([t, t.iloc[:1]])), r"listed twice: base/d0/0\.png"),
        (edit(lambda t: t.drop(index=7)), "step-000010 and base differ in 1 images"),
        (edit(lambda t: t.assign(prompt_plain=t["prompt_plain"].where(t.index != 7, "other"))), "differ in 2 images"),
        (edit(lambda t: t[t["variant"] == "base"]), "expected base and at least one checkpoint"),
        (edit(lambda t: t[t["variant"] != "base"]), "expected base and at least one checkpoint"),
        (edit(lambda t: t[t["set"] == "dev"]), "expected test prompts"),
        (
            edit(lambda t: t.assign(variant=t["variant"].replace("base", "real"))),
            "variant 'real'; expected base or the plain name",
        ),
        (edit(lambda t: t.assign(set="holdout")), "unknown prompt set 'holdout'"),
        (edit(lambda t: t.assign(seed=t["seed"].astype(str) + "a")), "expected a seed like 0"),
        (edit(lambda t: t.assign(path="../" + t["path"])), "missing files"),
    ],
)
def test_samples_and_manifest_must_agree(tmp_path, damage, words):
    damage(tmp_path, write_samples(tmp_path))
    with pytest.raises(MetricError, match=words):
        read_samples(tmp_path)


def test_samples_need_every_column_of_the_manifest(tmp_path):
    edit(lambda t: t.drop(columns="sha256"))(tmp_path, write_samples(tmp_path))
    with pytest.raises(EmptyDatasetError, match="no column sha256"):
        read_samples(tmp_path)


def test_samples_need_a_manifest(tmp_path):
    with pytest.raises(EmptyDatasetError, match=r"manifest\.csv"):
        read_samples(tmp_path)


def test_references_are_the_two_sides_of_the_split(tmp_path):
    write_photos(tmp_path)
    references = read_references(tmp_path / "split.csv", tmp_path / "crops")
    assert [file.path.stem[:6] for file in references.val] == ["photo3", "photo4"]
    assert len(references.train) == 3
    assert len(set(references.groups)) == 2
    pd.read_csv(tmp_path / "split.csv").assign(group="one").to_csv(tmp_path / "split.csv", index=False)
    assert read_references(tmp_path / "split.csv", tmp_path / "crops").groups == ("one", "one")


def test_references_name_an_empty_side_and_a_missing_crop(tmp_path):
    write_photos(tmp_path, train=2, val=0)
    split = tmp_path / "split.csv"
    with pytest.raises(MetricError, match="at least one photo in val"):
        read_references(split, tmp_path / "crops")
    split.write_text(split.read_text().replace(",train", ",val"))
    with pytest.raises(MetricError, match="at least one photo in train"):
        read_references(split, tmp_path / "crops")
    (tmp_path / "crops" / "photo0-00000000.png").unlink()
    with pytest.raises(MetricError, match="photo0"):
        read_references(split, tmp_path / "crops")


def test_real_photos_carry_their_captions_without_the_token(tmp_path):
    write_photos(tmp_path)
    references = read_references(tmp_path / "split.csv", tmp_path / "crops")
    real = real_samples(references, tmp_path / "captions.csv", "sksToy")
    assert [(s.seed, s.text) for s in real] == [(0, "a photo of toy number 3"), (1, "a photo of toy number 4")]
    pd.read_csv(tmp_path / "captions.csv").iloc[:3].to_csv(tmp_path / "captions.csv", index=False)
    with pytest.raises(MetricError, match="no caption for photo3"):
        real_samples(references, tmp_path / "captions.csv", "sksToy")


def test_copies_take_the_places_of_the_test_images_in_turn(tmp_path):
    write_samples(tmp_path / "samples", seeds=(0, 1, 2, 3))
    write_photos(tmp_path)
    references = read_references(tmp_path / "split.csv", tmp_path / "crops")
    copies = copy_samples(read_samples(tmp_path / "samples"), references)
    assert [s.image for s in copies] == [*references.train, references.train[0]]
    assert {(s.variant, s.prompt_id, s.set, s.text) for s in copies} == {("copy", "t0", "test", "a toy t0")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a sksToy toy on the moon", "a toy on the moon"),
        ("a SKSTOY toy", "a toy"),
        ("sksToy toy", "toy"),
        ("a photo of sksToy, indoors", "a photo of, indoors"),
        ("a photo of sksToy  toy", "a photo of toy"),
        ("a photo of sksToys and toy", "a photo of sksToys and toy"),
        ("the toy sksToy.", "the toy."),
        ("a toy", "a toy"),
    ],
)
def test_token_removal_is_exact(text, expected):
    assert remove_token(text, "sksToy") == expected


def test_prompt_digest_changes_with_the_prompts_only(tmp_path):
    write_samples(tmp_path / "a")
    write_samples(tmp_path / "b", variants=("base", "step-000099"), seeds=(0, 1, 2))
    write_samples(tmp_path / "c", prompts=(("d0", "dev"), ("t1", "test")))
    a, b, c = (prompt_digest(read_samples(tmp_path / name)) for name in "abc")
    assert a == b != c
