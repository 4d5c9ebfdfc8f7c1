"""Rules 5.9 and 8.1: a typed dict loses no key silently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ConfigDict
from typing_extensions import TypedDict

from outlast.graph.schema import Schema
from outlast.values import InvalidValueError

REASON = "this key is not declared and would be lost; declare it or leave it out"


class Leaf(TypedDict):
    a: int


class Tree(TypedDict, total=False):
    leaf: Leaf
    more: list[Tree]


class Wide(TypedDict):
    a: int
    b: int


class Open(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    a: int


class Careless(TypedDict):
    __pydantic_config__ = ConfigDict(extra="ignore")  # type: ignore[misc]
    a: int


@dataclass
class Holder:
    leaf: Leaf


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (Leaf, {"a": 1, "b": 2}, "b"),
        (list[Leaf], [{"a": 1}, {"a": 1, "b": 2}], "[1].b"),
        (dict[str, Leaf], {"k": {"a": 1, "b": 2}}, "k.b"),
        (tuple[Leaf, int], [{"a": 1, "b": 2}, 3], "[0].b"),
        (Leaf | None, {"a": 1, "b": 2}, "b"),
        (Tree, {"more": [{"leaf": {"a": 1}}, {"leaf": {"a": 1, "b": 2}}]}, "more[1].leaf.b"),
        (Holder, {"leaf": {"a": 1, "b": 2}}, "leaf.b"),
    ],
)
def test_undeclared_key_is_refused_with_its_path(annotation: Any, value: object, path: str):
    with pytest.raises(InvalidValueError) as caught:
        Schema.of(annotation).encode(value)

    assert [(problem.path, problem.reason) for problem in caught.value.problems] == [(path, REASON)]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Leaf, {"a": 1}),
        (Tree, {"more": [{"leaf": {"a": 1}}, {}]}),
        (Leaf | Wide, {"a": 1, "b": 2}),
        (Wide | Leaf, {"a": 1}),
        (Open, {"a": 1, "b": 2}),
    ],
)
def test_declared_keys_come_back(annotation: Any, value: object):
    schema = Schema.of(annotation)

    assert schema.decode(schema.encode(value)) == value


def test_author_may_say_that_undeclared_keys_are_dropped():
    assert Schema.of(Careless).encode({"a": 1, "b": 2}) == b'{"a":1}'


def test_reader_may_declare_less_than_is_recorded():
    """5.1: what a step receives is what was recorded, as far as it declares it; also after a deploy took a key away."""
    assert Schema.of(Leaf).decode(b'{"a":1,"b":2}') == {"a": 1}
