"""What a value loses on its way through JSON (rule 5.9), where a declared type alone cannot show it."""

from __future__ import annotations

import dataclasses
import math
from collections import deque

import pytest
from pydantic import BaseModel, RootModel

from outlast.graph.lossless import find_losses, find_unwritable


class Cat(BaseModel):
    name: str


class Dog(BaseModel):
    name: str


class Names(RootModel[list[str]]):
    """A model that is a list."""


class Opaque:
    """Without equality of its own."""


@dataclasses.dataclass
class Entry:
    key: str
    note: str = dataclasses.field(default="", compare=False)


SHARED = "annotate the type so that it is converted back"


@pytest.mark.parametrize(
    ("before", "after", "path", "reason"),
    [
        ({"a": 1}, {}, "", "the key 'a' does not come back"),
        ({"a": 1}, [1], "", f"a dict comes back as a list; {SHARED}"),
        ([{"a": 1}], [{"a": 2}], "[0].a", "1 comes back as 2"),
        ([1], {"a": 1}, "", f"a list comes back as a dict; {SHARED}"),
        (deque([1]), [2], "[0]", "1 comes back as 2"),
        ({"x"}, ["x"], "", f"a set comes back as a list; {SHARED}"),
        ({1, 2}, {1}, "", "2 items come back as 1"),
        ({"x"}, {"y"}, "", "the item 'x' does not come back"),
        (Cat(name="a"), Dog(name="a"), "", f"a Cat comes back as a Dog; {SHARED}"),
        (Names(["a"]), Names(["b"]), "[0]", "'a' comes back as 'b'"),
        (Entry("a"), Entry("b"), "key", "'a' comes back as 'b'"),
        (None, 1, "", f"None comes back as an int; {SHARED}"),
        ("x" * 99, "y", "", f"'{'x' * 36}... comes back as 'y'"),
    ],
    ids=str,
)
def test_a_loss_is_named_with_its_path(before, after, path, reason):
    found = {(problem.path, problem.reason) for problem in find_losses(before, after)}

    assert (path, reason) in found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Entry("a", note="x"), Entry("a")),
        (Opaque(), Opaque()),
        ((1, 2), [1, 2]),
        (math.nan, math.nan),
        (1, 1.0),
    ],
    ids=["excluded from comparison", "no equality", "tuple", "nan kept as text", "equal numbers"],
)
def test_what_is_no_loss_passes(before, after):
    assert not list(find_losses(before, after))


def test_the_unwritable_parts_of_all_containers_are_found():
    value = {"model": Names(["bad"]), 3: [Entry("bad")], "set": {"bad"}, "fine": ["good"]}

    found = find_unwritable(value, lambda part: "not written" if part == "bad" else None)

    assert [problem.path for problem in found] == ["model[0]", '["3"][0].key', "set"]
