"""Rules 5.9 and 8.1: a typed dict loses no key silently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
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


class Model(BaseModel):
    leaf: Leaf


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid")
    leaf: Leaf


class Outer(BaseModel):
    model: Model


def grown() -> Model:
    """Make a model whose typed dict got a key that it does not declare after it was validated."""
    model = Model(leaf={"a": 1})
    model.leaf["b"] = 2  # type: ignore[typeddict-unknown-key]
    return model


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


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (Model, grown(), "leaf"),
        (list[Model], [grown()], "[0].leaf"),
        (Outer, Outer.model_construct(model=grown()), "model.leaf"),
        (Model, Model.model_construct(leaf={"a": 1, "b": 2}), "leaf"),
    ],
)
def test_model_that_holds_an_undeclared_key_is_refused_with_its_path(annotation: Any, value: object, path: str):
    """5.9: what is in the value that a step returns and would not come back fails the step, in a model too."""
    with pytest.raises(InvalidValueError) as caught:
        Schema.of(annotation).encode(value)

    assert [(problem.path, problem.reason) for problem in caught.value.problems] == [
        (path, "the key 'b' does not come back")
    ]


def test_model_made_from_a_dict_follows_its_own_configuration():
    """5.9: making a model is pydantic's work, as in the author's own code: by default it drops what is not declared."""
    value = {"leaf": {"a": 1, "b": 2}}

    assert Schema.of(Model).encode(value) == Schema.of(Model).encode(Model(**value)) == b'{"leaf":{"a":1}}'
    with pytest.raises(InvalidValueError) as caught:
        Schema.of(StrictModel).encode(value)
    assert [(problem.path, problem.reason) for problem in caught.value.problems] == [("leaf.b", REASON)]


def test_author_may_say_that_undeclared_keys_are_dropped():
    assert Schema.of(Careless).encode({"a": 1, "b": 2}) == b'{"a":1}'


def test_reader_may_declare_less_than_is_recorded():
    """5.1: what a step receives is what was recorded, as far as it declares it; also after a deploy took a key away."""
    assert Schema.of(Leaf).decode(b'{"a":1,"b":2}') == {"a": 1}
