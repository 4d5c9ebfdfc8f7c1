"""Neighbours whose types can never meet are refused; doubt is left to run time (rule 1.3)."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from typing_extensions import TypedDict

from outlast.graph.compatible import item_schema, why_incompatible
from outlast.graph.schema import JSON, Schema
from outlast.values import InvalidValueError


class Item(BaseModel):
    sku: str
    price: float = 0.0


class Order(BaseModel):
    id: int
    items: list[Item] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str = ""


class Named(BaseModel):
    name: str


class Totals(TypedDict):
    count: int


class Sparse(TypedDict, total=False):
    count: int


@dataclasses.dataclass
class Point:
    x: int
    label: str = ""


class Tree(BaseModel):
    value: int
    left: Tree | None = None


class Branch(BaseModel):
    value: str
    left: Branch | None = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Lenient(enum.Enum):
    ANY = "any"

    @classmethod
    def _missing_(cls, value: object) -> Lenient:
        return cls.ANY


class Pair(NamedTuple):
    left: int
    right: str = ""


class Aliased(BaseModel):
    count: int = Field(validation_alias=AliasChoices("n", "count"))


class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    count: int = Field(alias="n")


class Coerced(BaseModel):
    count: int

    @model_validator(mode="before")
    @classmethod
    def _from_anything(cls, _: object) -> object:
        return {"count": 1}


UserId = NewType("UserId", int)
AnyText = Annotated[int, PlainSerializer(lambda value: f"#{value}")]


def why(source: object, target: object) -> str | None:
    return why_incompatible(Schema.of(source), Schema.of(target))


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (str, int, "a string is given where an integer is needed"),
        (int, str, "an integer is given where a string is needed"),
        (float, str, "a number is given where a string is needed"),
        (bool, int, "a boolean is given where an integer is needed"),
        (int, bool, "an integer is given where a boolean is needed"),
        (None, int, "null is given where an integer is needed"),
        (Order, int, "an object is given where an integer is needed"),
        (int, Order, "an integer is given where an object is needed"),
        (list[int], dict[str, int], "a list is given where an object is needed"),
        (int, UUID, "an integer is given where a string is needed"),
        (int, bytes, "an integer is given where a string is needed"),
        (bool, datetime, "a boolean is given where a number or a string is needed"),
        (UserId, str, "an integer is given where a string is needed"),
        (Annotated[int, Field(gt=3)], str, "an integer is given where a string is needed"),
        (str, Level, "a string is given where 1 is needed"),
        (Color, Literal["green"], "'red' or 'blue' is given where 'green' is needed"),
        (Literal["a"], Literal["b", 2], "'a' is given where 'b' or 2 is needed"),
    ],
    ids=str,
)
def test_types_without_a_common_value_are_refused(source, target, reason):
    assert why(source, target) == reason


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (int, int),
        (int, float),
        (float, int),
        (int, datetime),
        (float, timedelta),
        (int, date),
        (float, time),
        (int, IPv4Address),
        (str, datetime),
        (datetime, str),
        (Decimal, float),
        (Decimal, str),
        (float, Decimal),
        (str, Decimal),
        (str, UUID),
        (Path, str),
        (str, bytes),
        (int, complex),
        (str, Color),
        (Color, str),
        (Color, Literal["blue"]),
        (bool, Literal[1]),
        (str, Lenient),
        (int | None, str | None),
        (int | str, str),
        (UserId, int),
        (list[int], list[str]),
        (set[int], tuple[str, ...]),
        (list[int], tuple[int, int]),
        (Order, dict[str, Any]),
        (Totals, Open),
        (Open, Named),
        (dict[str, str], Named),
        (Point, Totals | Point),
        (Sparse, Totals),
        (Tree, Tree),
        (Point, Pair),
    ],
    ids=str,
)
def test_types_that_may_meet_are_let_through(source, target):
    assert why(source, target) is None


@pytest.mark.parametrize("annotation", [int, Order, list[str]], ids=str)
def test_json_fits_everything(annotation):
    assert why(Any, annotation) is None
    assert why(annotation, Any) is None


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (Point, Totals, "count is needed and never given"),
        (Cat, Named, "name is needed and never given"),
        (dict[str, int], Named, "name: an integer is given where a string is needed"),
        (Item, dict[str, float], "sku: a string is given where a number is needed"),
        (Tree, Branch, "value: an integer is given where a string is needed"),
        (TypedDict("Box", {"in": Order}), TypedDict("Bin", {"in": Item}), "in.sku is needed and never given"),
    ],
    ids=str,
)
def test_objects_that_always_differ_in_a_property_are_refused(source, target, reason):
    assert why(source, target) == reason


def test_a_default_is_written_and_has_to_fit():
    assert why(Cat, Dog) == "kind: 'cat' is given where 'dog' is needed"


def test_unions_are_refused_only_if_no_pair_of_members_fits():
    assert why(Cat | Dog, Dog | None) is None
    assert why(int | None, str) == (
        "an integer is given where a string is needed, and null is given where a string is needed"
    )


def test_discriminated_unions_are_compared_by_their_tag():
    pets = Annotated[Cat | Dog, Field(discriminator="kind")]

    assert why(Cat, pets) is None
    assert why(TypedDict("Bird", {"kind": Literal["bird"]}), pets) is not None


@pytest.mark.parametrize("target", [Aliased, ByName], ids=str)
def test_a_field_with_several_names_is_in_doubt(target):
    assert why(Totals, target) is None
    assert why(Point, target) is None


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (str, Annotated[int, BeforeValidator(len)]),
        (str, Coerced),
        (AnyText, str),
        (Annotated[int, WithJsonSchema({"not": {}})], str),
    ],
    ids=["before-validator", "coerced", "serializer", "json-schema"],  # the text of a function has its address
)
def test_where_user_code_decides_there_is_doubt(source, target):
    assert why(source, target) is None


def test_lists_are_refused_if_a_certain_item_never_fits():
    at_least_one = Annotated[list[int], Field(min_length=1)]

    assert why(at_least_one, list[str]) == "[0]: an integer is given where a string is needed"
    assert why(tuple[int, str], tuple[int, int]) == "[1]: a string is given where an integer is needed"


def test_lists_are_refused_if_their_lengths_never_fit():
    three = Annotated[list[int], Field(min_length=3)]

    assert why(tuple[int, int], three) == "at most 2 items are given where at least 3 are needed"
    assert why(three, tuple[int, int]) == "at least 3 items are given where at most 2 are allowed"


def test_all_parts_of_a_conjunction_have_to_fit():
    both = Annotated[int, WithJsonSchema({"allOf": [{"type": "integer"}, {}]})]

    assert why(both, str) == "an integer is given where a string is needed"
    assert why(str, both) == "a string is given where an integer is needed"


def test_constants_are_compared_by_value_and_not_by_type():
    given = Annotated[Any, WithJsonSchema({"enum": [1.5, None, [1], {"a": 1}]})]

    assert why(given, Annotated[Any, WithJsonSchema({"enum": [[1]]})]) is None
    assert why(given, Annotated[Any, WithJsonSchema({"const": [2]})]) is not None
    assert why(given, int | str) is not None


def test_properties_named_by_a_pattern_are_in_doubt():
    patterned = Annotated[Any, WithJsonSchema({"type": "object", "patternProperties": {"^n": {"type": "integer"}}})]

    assert why(patterned, Named) is None


def test_a_conjunction_without_conflict_is_let_through():
    both = Annotated[int, WithJsonSchema({"allOf": [{"type": "integer"}, {}]})]

    assert why(both, both) is None
    assert why(int, both) is None
    assert why(both, float) is None


@pytest.mark.parametrize(
    ("annotation", "items"),
    [
        (list[int], int),
        (Sequence[Order], Order),
        (tuple[int, ...], int),
        (tuple[int, str], int | str),
        (set[str], str),
        (deque[int], int),
        (Annotated[list[int], Field(max_length=3)], int),
        (NewType("Ids", list[int]), int),
        (list[int] | None, int),
        (list[int] | set[str], int | str),
        (list[int] | dict[str, int], int),
    ],
    ids=str,
)
def test_the_items_of_a_list_have_their_type(annotation, items):
    """5.5."""
    found = item_schema(Schema.of(annotation))

    assert found is not None
    assert found.annotation == items


@pytest.mark.parametrize(
    "annotation",
    [
        Any,
        list,
        tuple,
        list[Any],
        list[int] | list[Any],
        RootModel[list[int]],
        Pair,
        Annotated[int, PlainSerializer(hex)],
    ],
    ids=str,
)
def test_items_of_unknown_type_are_json(annotation):
    """5.5."""
    assert item_schema(Schema.of(annotation)) is JSON


@pytest.mark.parametrize(
    "annotation", [int, str, bytes, None, Order, Point, Totals, dict[str, int], Color, int | None], ids=str
)
def test_what_is_never_a_list_has_no_items(annotation):
    """1.3."""
    assert item_schema(Schema.of(annotation)) is None


SAMPLED = [
    *(bool, int, float, str, bytes, None, Decimal, UUID, datetime, date, time, timedelta, complex),
    *(Item, Order, Open, Named, Totals, Sparse, Point, Tree, Cat, Dog, Cat | Dog, Aliased, ByName, Coerced),
    *(Color, Level, Lenient, Pair, Literal["a", 1], Literal["cat"], UserId, int | None, int | str),
    *(list[int], list[str], set[int], tuple[int, str], tuple[int, ...], dict[str, int], dict[int, str]),
    *(Mapping[str, Any], Annotated[list[int], Field(min_length=1)], Annotated[int, BeforeValidator(int)]),
]
documents = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, 1, 7, 1.5, "", "a", "cat", "red", "1", "2020-01-01", "PT1S"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "sku", "n", "count", "name", "x", "value", "kind"]), inner, max_size=3)
    ),
    max_leaves=4,
)


def values_of(source: Schema[Any], document: object) -> Iterator[bytes]:
    try:
        yield source.encode(document)
    except InvalidValueError:
        return


def fits_strictly(target: object, raw: bytes) -> bool:
    try:
        TypeAdapter(target).validate_json(raw, strict=True)
    except ValidationError:
        return False
    return True


@given(st.sampled_from(SAMPLED), documents)
def test_what_fits_is_never_refused(source, document):
    """A value of the source that is strict JSON for the target proves that they can meet."""
    for raw in values_of(Schema.of(source), document):
        refused = [target for target in SAMPLED if why(source, target)]

        assert not [target for target in refused if fits_strictly(target, raw)]
