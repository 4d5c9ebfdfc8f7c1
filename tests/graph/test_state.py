"""Declared state: which reducers its fields have, and what may be set."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, NewType, NotRequired

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    RootModel,
    field_serializer,
    field_validator,
    model_validator,
)
from typing_extensions import TypeAliasType, TypedDict

from outlast.errors import DefinitionError
from outlast.graph.patch import Operation, PatchVerb
from outlast.graph.reducer import Add, Append, Extend, Max, MergeDict, Min, Union
from outlast.graph.state import DELETE, StateType
from outlast.values import InvalidValueError, decode

Count = NewType("Count", int)
Log = TypeAliasType("Log", Annotated[list[int], Append])


class Item(BaseModel):
    sku: str
    price: float = 0.0


class Draft(BaseModel):
    title: str
    day: date = date(2026, 1, 2)
    note: str | None = None
    items: Annotated[list[Item], Append] = []
    log: Annotated[list[str], Extend, Field(max_length=3)] = []
    count: Annotated[int, Field(ge=0), Add] = 0
    peak: Annotated[float, Max, Field(le=100)] = 0
    best: Annotated[int | None, Min] = None
    tags: Annotated[set[str], Union] = set()
    totals: Annotated[dict[str, int], MergeDict] = {}

    @model_validator(mode="after")
    def check_title(self) -> Draft:
        if self.title == "forbidden":
            raise ValueError("this title is taken")
        return self


class DraftDict(TypedDict):
    title: str
    log: NotRequired[Annotated[list[str], Append]]


@dataclass
class DraftClass:
    title: str
    log: Annotated[list[str], Append] = field(default_factory=list)


class Custom(BaseModel):
    model_config = ConfigDict(alias_generator=str.upper)

    even: int = 0
    flags: list[str] = []

    @field_validator("even")
    @classmethod
    def check_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("not even")
        return value

    @field_validator("flags", mode="before")
    @classmethod
    def read_flags(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value

    @field_serializer("flags")
    def write_flags(self, value: list[str]) -> str:
        return ",".join(value)


class Node(BaseModel):
    children: Annotated[list[Node], Append] = []


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    size: int = 0
    sum: Annotated[int, Add] = 0


class Partial(BaseModel):
    size: int = 0
    cache: int = Field(default=0, exclude=True)


class Text(RootModel[str]):
    pass


def declare(**fields):
    return TypedDict("Declared", fields)


def one(declared, patch):
    (operation,) = StateType.of(declared).validate_patch(patch)
    return operation.verb, operation.value


def problems(declared, patch):
    with pytest.raises(InvalidValueError) as refused:
        StateType.of(declared).validate_patch(patch)
    return str(refused.value)


@pytest.mark.parametrize("declared", [Draft, DraftDict, DraftClass], ids=lambda declared: declared.__name__)
def test_declared_fields_can_be_set(declared):
    assert one(declared, {"title": "x"}) == (PatchVerb.REPLACE, "x")


@pytest.mark.parametrize("declared", [DraftDict, DraftClass], ids=lambda declared: declared.__name__)
def test_reducers_are_data_by_field(declared):
    assert dict(StateType.of(declared).reducers) == {"log": "append"}


def test_every_reducer_has_a_name():
    assert dict(StateType.of(Draft).reducers) == {
        "items": "append",
        "log": "extend",
        "count": "add",
        "peak": "max",
        "best": "min",
        "tags": "union",
        "totals": "merge_dict",
    }


@pytest.mark.parametrize(
    ("patch", "verb", "value"),
    [
        ({"items": Item(sku="a")}, PatchVerb.APPEND, {"sku": "a", "price": 0.0}),
        ({"items": {"sku": "a", "price": 1}}, PatchVerb.APPEND, {"sku": "a", "price": 1.0}),
        ({"log": ["a", "b"]}, PatchVerb.EXTEND, ["a", "b"]),
        ({"count": 2}, PatchVerb.ADD, 2),
        ({"peak": 2}, PatchVerb.MAX, 2.0),
        ({"best": 2}, PatchVerb.MIN, 2),
        ({"tags": {"a"}}, PatchVerb.UNION, ["a"]),
        ({"tags": ["a"]}, PatchVerb.UNION, ["a"]),
        ({"totals": {"a": 1}}, PatchVerb.MERGE_DICT, {"a": 1}),
        ({"day": date(2026, 3, 4)}, PatchVerb.REPLACE, "2026-03-04"),
    ],
    ids=repr,
)
def test_field_takes_what_its_reducer_takes(patch, verb, value):
    assert one(Draft, patch) == (verb, value)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"title": 1}, "title: input should be a valid string"),
        ({"items": {"price": 1}}, "items.sku: field required"),
        ({"items": [{"sku": "a"}]}, "items: input should be a valid dictionary or instance of Item"),
        ({"log": "a"}, "log: input should be a valid list"),
        ({"count": "many"}, "count: input should be a valid integer"),
        ({"tags": [1]}, "tags[0]: input should be a valid string"),
        ({"totals": {"a": "x"}}, "totals.a: input should be a valid integer"),
        ({"titel": "x"}, "titel: Draft has no such field; did you mean 'title'?"),
        ({"title": DELETE}, "title: Draft requires it; set another value instead"),
    ],
    ids=repr,
)
def test_value_that_does_not_fit_is_refused_with_its_path(patch, message):
    assert problems(Draft, patch).startswith(message)


def test_all_problems_of_a_patch_are_named():
    assert problems(Draft, {"title": 1, "day": "x", "zzz": 1}).count("; ") == 2


def test_bounds_of_a_reduced_whole_do_not_bind_its_parts():
    assert one(Draft, {"count": -1}) == (PatchVerb.ADD, -1)


def test_bounds_bind_each_value_of_a_maximum():
    assert problems(Draft, {"peak": 101}) == "peak: input should be less than or equal to 100"


def test_none_sets_null_where_the_type_allows_it():
    assert one(Draft, {"note": None}) == (PatchVerb.REPLACE, None)


def test_none_sets_null_in_a_field_with_a_reducer():
    assert one(Draft, {"best": None}) == (PatchVerb.REPLACE, None)


def test_none_is_refused_where_the_type_has_no_null():
    assert problems(Draft, {"title": None}).startswith("title: ")


@pytest.mark.parametrize(("declared", "name"), [(Draft, "note"), (DraftDict, "log"), (DraftClass, "log")], ids=repr)
def test_delete_removes_what_is_not_required(declared, name):
    assert one(declared, {name: DELETE}) == (PatchVerb.DELETE, None)


@pytest.mark.parametrize("declared", [Draft, DraftDict, DraftClass], ids=lambda declared: declared.__name__)
def test_delete_of_a_required_field_is_refused(declared):
    assert "requires it" in problems(declared, {"title": DELETE})


def test_operations_keep_the_order_of_the_patch():
    operations = StateType.of(Draft).validate_patch({"note": "n", "count": 1, "title": "t"})

    assert [operation.field for operation in operations] == ["note", "count", "title"]


def test_operations_share_nothing_with_the_patch():
    inner = {"a": [1]}
    operations = StateType.of(None).validate_patch({"x": inner})

    inner["a"].append(2)

    assert operations == (Operation("x", PatchVerb.REPLACE, {"a": [1]}),)


def test_patch_that_is_no_dict_is_refused():
    assert problems(Draft, ["title"]) == "a patch is a dict of the fields to set, this is a list"


def test_field_is_set_by_name_or_alias_and_recorded_by_alias():
    state = StateType.of(Custom)

    assert state.validate_patch({"even": 2}) == state.validate_patch({"EVEN": 2})
    assert state.validate_patch({"even": 2}) == (Operation("EVEN", PatchVerb.REPLACE, 2),)


def test_field_that_is_never_recorded_cannot_be_set():
    assert problems(Partial, {"cache": 1}) == "cache: Partial has no such field"


def test_state_type_shows_what_is_declared():
    assert repr(StateType.of(Draft)) == "StateType(Draft)"


def test_validators_of_a_field_in_the_class_body_run():
    assert problems(Custom, {"even": 3}) == "even: value error, not even"


def test_serialisers_of_a_field_in_the_class_body_run():
    assert one(Custom, {"flags": ["a", "b"]}) == (PatchVerb.REPLACE, "a,b")


@pytest.mark.parametrize("name", ["size", "sum"])
def test_settings_of_the_class_hold_for_its_fields(name):
    assert problems(Strict, {name: "1"}) == f"{name}: input should be a valid integer"


def test_type_that_holds_itself_can_be_state():
    assert one(Node, {"children": {"children": []}}) == (PatchVerb.APPEND, {"children": []})


def test_initial_state_is_validated_as_a_whole_with_defaults():
    raw = StateType.of(DraftClass).validate_initial({"title": "x"})

    assert raw == b'{"title":"x","log":[]}'


def test_validators_of_the_whole_run_on_the_initial_state():
    with pytest.raises(InvalidValueError, match="this title is taken"):
        StateType.of(Draft).validate_initial({"title": "forbidden"})


def test_validators_of_the_whole_do_not_run_on_a_patch():
    assert one(Draft, {"title": "forbidden"}) == (PatchVerb.REPLACE, "forbidden")


def test_json_schema_describes_the_initial_state():
    described = StateType.of(DraftClass).to_json_schema()

    assert described["required"] == ["title"]


@pytest.mark.parametrize("declared", [None, Any], ids=["None", "Any"])
def test_any_object_is_state_if_nothing_is_declared(declared):
    state = StateType.of(declared)

    assert state.validate_initial({"a": [1]}) == b'{"a":[1]}'
    assert state.validate_patch({"a": 1, "b": DELETE}) == (
        Operation("a", PatchVerb.REPLACE, 1),
        Operation("b", PatchVerb.DELETE),
    )
    assert state.to_json_schema() == {"type": "object"}
    assert not state.reducers


def test_initial_state_that_is_no_object_is_refused():
    with pytest.raises(InvalidValueError, match="a state is an object, this is a list"):
        StateType.of(None).validate_initial([])


def test_undeclared_value_that_is_not_json_is_refused_with_its_path():
    assert problems(None, {"a": [date(2026, 1, 2)]}).startswith("a[0]: a date is not JSON")


@pytest.mark.parametrize("value", [1, DELETE], ids=repr)
def test_field_name_that_is_not_text_is_refused(value):
    assert problems(None, {1: value}) == "the key 1 is an int; keys are strings in JSON"


@pytest.mark.parametrize("declared", [int, list[Draft], Draft | None, Text, dict[str, int]], ids=repr)
def test_type_without_fields_is_refused(declared):
    with pytest.raises(DefinitionError, match="has no fields; declare a pydantic model, a TypedDict or a dataclass"):
        StateType.of(declared)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Annotated[list, operator.add], "has the function add as its reducer; reducers are data, one of Append, "),
        (Annotated[set, set.union], "has the function union as its reducer"),
        (Annotated[int, partial(max, 3)], "has the function functools.partial"),
        (Annotated[list[int], Append, Extend], "has 2 reducers (Append, Extend); keep one"),
        (Annotated[list[int], Append] | None, "has a reducer inside its type; put it around: Annotated["),
        (list[Annotated[int, Add]], "has a reducer inside its type"),
        (Annotated[set[int], Append], "is declared set[int], but Append needs a list; for a set use Union"),
        (Annotated[str, Extend], "is declared str, but Extend needs a list"),
        (Annotated[Decimal, Add], "is declared Decimal, but Add needs an int or a float"),
        (Annotated[bool, Max], "is declared bool, but Max needs an int or a float"),
        (Annotated[dict[str, int], Union], "but Union needs a set or a list"),
        (Annotated[list[int], MergeDict], "but MergeDict needs a dict or a TypedDict"),
    ],
    ids=repr,
)
def test_reducer_that_cannot_work_is_refused_with_advice(annotation, message):
    declared = declare(log=annotation)

    with pytest.raises(DefinitionError) as refused:
        StateType.of(declared)

    assert str(refused.value).startswith("field 'log' of Declared ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Annotated[list, Append], {"any": 1}),
        (Annotated[list[int] | None, Append], 1),
        (Annotated[deque[int], Append], 1),
        (Annotated[tuple[int, ...], Append], 1),
        (Log, 1),
        (Annotated[int | float, Add], 1),
        (Annotated[Count, Add], 1),
        (Annotated[Mapping[str, int], MergeDict], {"a": 1}),
        (Annotated[DraftDict, MergeDict], {"title": "x"}),
        (Annotated[frozenset[int], Union], [1]),
        (Annotated[list[int], Union], [1]),
    ],
    ids=repr,
)
def test_reducer_takes_every_type_of_its_kind(annotation, value):
    declared = declare(log=annotation)

    assert one(declared, {"log": value})[1] == value


def test_annotation_that_cannot_be_resolved_is_refused():
    class Hidden:
        pass

    class Local(TypedDict):
        hidden: Hidden

    with pytest.raises(DefinitionError, match="Hidden"):
        StateType.of(Local)


def test_part_with_the_same_reducers_fits():
    assert StateType.of(DraftDict).check_part(StateType.of(DraftClass)) == []


def test_part_that_merges_a_field_otherwise_does_not_fit():
    (found,) = StateType.of(Draft).check_part(StateType.of(DraftDict))

    assert found == (
        "state field 'log' is merged by 'append' in DraftDict and by 'extend' in Draft; "
        "declare the same reducer in both"
    )


def test_part_with_a_field_of_its_own_does_not_fit():
    declared = declare(titles=str)

    assert StateType.of(DraftDict).check_part(StateType.of(declared)) == [
        "state field 'titles' is not in DraftDict; did you mean 'title'?"
    ]


def test_every_part_fits_undeclared_state():
    assert StateType.of(None).check_part(StateType.of(Draft)) == []


class Bytes(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    blob: bytes = b""


def test_field_is_read_by_the_settings_of_its_class():
    """8.1: what was written as base64 is read as base64."""
    state = StateType.of(Bytes)
    recorded = decode(state.validate_initial({"blob": b"\xffhello"}))

    assert state.decode(recorded).blob == b"\xffhello"


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


AnyPoint = Annotated[
    Point, PlainValidator(lambda x: x if isinstance(x, Point) else Point(x)), PlainSerializer(lambda p: p.x)
]


class Drawing(BaseModel):
    origin: AnyPoint


def test_field_is_read_by_its_own_validator():
    state = StateType.of(Drawing)
    recorded = decode(state.validate_initial({"origin": 3}))

    assert state.decode(recorded).origin.x == 3


@dataclass
class Range:
    low: int
    high: int
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low over high")


def test_dataclass_is_read_without_what_it_does_after_its_init():
    """8.1: validators of the whole type run on the initial state only."""
    read = StateType.of(Range).decode({"low": 5, "high": 3})

    assert isinstance(read, Range)
    assert (read.low, read.high, read.names) == (5, 3, [])


class OnlyDeclared(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    day: date
    few: Annotated[list[int], Field(max_length=2), Append]


def test_dict_is_read_field_by_field():
    """8.1: one that its type would refuse is given as it is, and those it does not declare are left out."""
    read = StateType.of(OnlyDeclared).decode({"day": "2026-01-02", "few": [1, 2, 3], "other": 1})

    assert read == {"day": date(2026, 1, 2), "few": [1, 2, 3]}
