"""Nested values by dotted keys."""

import pytest

from src.core.nested import flatten


@pytest.mark.parametrize(
    ("lists", "flat"),
    [
        (False, {"a.b": 1, "a.c": [{"d": 2}, 3], "e": {}, "f": []}),
        (True, {"a.b": 1, "a.c.0.d": 2, "a.c.1": 3, "e": {}, "f": []}),
    ],
)
def test_flatten_keeps_every_value_in_its_order(lists, flat):
    found = flatten({"a": {"b": 1, "c": [{"d": 2}, 3]}, "e": {}, "f": []}, lists=lists)
    assert list(found.items()) == list(flat.items())
