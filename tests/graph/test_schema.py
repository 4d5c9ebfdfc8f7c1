"""Declared types: what is recorded comes back as it was, or is refused with its path."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import inspect
import math
from collections.abc import Callable, Generator, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from outlast.errors import DefinitionError
from outlast.graph.annotation import is_plain, name_of
from outlast.graph.schema import JSON, Schema
from outlast.values import InvalidValueError, JsonValue

T = TypeVar("T")


class Item(BaseModel):
    sku: str
    price: float = 0.0


class SaleItem(Item):
    discount: int = 0


class Order(BaseModel):
    id: int
    items: list[Item] = []


class Totals(TypedDict):
    count: int


@dataclasses.dataclass
class Point:
    x: int


@dataclasses.dataclass
class Point3(Point):
    z: int = 0


class Opaque:
    """Nothing that pydantic knows."""


class Box(BaseModel, Generic[T]):
    content: T


class Pair(NamedTuple):
    left: int
    right: str


class Color(enum.Enum):
    RED = "red"


class Plate(enum.StrEnum):
    HOT = "hot"


class Plain(enum.Enum):
    """Whose members have values that JSON gives back."""

    NOTHING = None
    HALF = 0.5
    YES = True


class Place(enum.Enum):
    HOME = (0, 0)


def read_place(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class Found(enum.Enum):
    HOME = (0, 0)

    @classmethod
    def _missing_(cls, value: object) -> Found | None:
        return cls(tuple(value)) if isinstance(value, list) else None


class Twins(enum.Enum):
    TEXT = "a"
    RAW = b"a"


class Tree(BaseModel):
    kids: list[Tree] = []


class Tagged(BaseModel):
    kind: Literal["a"] = "a"


UserId = NewType("UserId", int)


def refusal(annotation: object, value: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidValueError) as caught:
        Schema.of(annotation).encode(value)
    return [(problem.path, problem.reason) for problem in caught.value.problems]


def round_trip(annotation: object, value: object) -> object:
    schema = Schema.of(annotation)
    return schema.decode(schema.encode(value))


@pytest.mark.parametrize(
    "annotation",
    [Any, object, inspect.Parameter.empty, pytest.param(JsonValue, id="ours"), pydantic.JsonValue],
)
def test_no_annotation_means_json(annotation):
    """1.1."""
    assert Schema.of(annotation) is JSON is Schema.json()
    assert JSON.is_json
    assert JSON.name == "JSON"


def test_json_takes_any_json_and_nothing_else():
    assert JSON.decode(JSON.encode({"a": [1, None]})) == {"a": [1, None]}
    with pytest.raises(InvalidValueError):
        JSON.encode({1: 2})
    with pytest.raises(InvalidValueError):
        JSON.decode(b"nope")


def test_one_annotation_has_one_schema():
    assert Schema.of(list[int]) is Schema.of(list[int])


def test_unions_that_differ_in_order_are_different_types():
    assert Schema.of(int | str) is not Schema.of(str | int)


def test_annotations_that_cannot_be_hashed_are_fine():
    assert round_trip(Annotated[int, ["unhashable"]], 3) == 3


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (None, "None"),
        (list[int], "list[int]"),
        (Order, "Order"),
        (dict[str, Order], "dict[str, Order]"),
        (Optional[int], "int | None"),  # noqa: UP045
        (Union[int, str], "int | str"),  # noqa: UP007
        (int | str, "int | str"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Annotated[int, Field(gt=0)], "int"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Box[int], "Box[int]"),
        (list[Any], "list[Any]"),
        (UserId, "UserId"),
        (datetime, "datetime"),
    ],
)
def test_names_read_as_the_author_wrote_them(annotation, name):
    schema = Schema.of(annotation)

    assert schema.name == name
    assert repr(schema) == f"Schema({name})"
    assert schema.annotation == annotation


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Opaque, "Opaque cannot be used: "),
        (list[Opaque], "Opaque"),
        ("Unknown", "cannot be used"),
        (Callable[[int], str], "cannot be recorded as JSON: a function is not data"),
        (dict[str, Callable[[], int]], "a function is not data"),
        (Generator[int, None, None], "an iterator can be read only once; declare a list"),
        (Iterable[int], "an iterator can be read only once; declare a list"),
        (type[int], "a class is not data"),
        (refusal, "a function is not data"),
        (pydantic.Json[int], "declare what it holds"),
        (Place, "<Place.HOME: (0, 0)> does not come back from JSON; give the members texts or numbers as values"),
        (list[Twins], "<Twins.RAW: b'a'> does not come back from JSON"),
        (Literal[Color.RED], "<Color.RED: 'red'> does not come back from JSON; name the enum instead of the member"),
        (Literal[b"a"], "b'a' does not come back from JSON; declare texts or numbers"),
    ],
)
def test_a_type_that_cannot_be_recorded_is_refused_with_advice(annotation, message):
    """1.3."""
    with pytest.raises(DefinitionError) as caught:
        Schema.of(annotation)

    assert message in str(caught.value)


def test_an_arbitrary_class_in_a_model_is_refused():
    """1.3."""

    class Holder(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        opaque: Opaque

    with pytest.raises(DefinitionError, match=r"Holder cannot be recorded as JSON: Opaque: declare a pydantic model"):
        Schema.of(Holder)


@pytest.mark.parametrize(
    ("annotation", "member"),
    [
        (Plain, Plain.NOTHING),
        (Plain, Plain.HALF),
        (Plain, Plain.YES),
        (Found, Found.HOME),
        (Literal[Plate.HOT], Plate.HOT),
        (Literal["a", True], True),
        (Annotated[Place, pydantic.BeforeValidator(read_place)], Place.HOME),
    ],
)
def test_members_that_come_back_from_json_are_fine(annotation, member):
    """5.9: what is refused at once is only what could never be read."""
    assert round_trip(annotation, member) is member


def test_times_of_day_lose_no_zone():
    """5.9: one without an offset is equal to what it is written as, so equality does not tell."""
    berlin = time(9, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    reason = "a time of day loses its zone Europe/Berlin; use a datetime, or keep the name of the zone beside it"

    assert refusal(list[time], [time(9), berlin]) == [("[1]", reason)]
    assert refusal(set[time], {berlin}) != []
    assert refusal(dict[time, int], {berlin: 1}) != []
    assert round_trip(time, time(9, 30)) == time(9, 30)
    assert round_trip(time, time(9, 30, tzinfo=UTC)) == time(9, 30, tzinfo=UTC)


def grown(levels: int) -> Tree:
    tree = Tree()
    for _ in range(levels - 1):
        tree = Tree(kids=[tree])
    return tree


def test_types_that_nest_in_themselves_are_as_deep_as_any_json():
    """5.9: a model and the list in it are a level each; the empty list of the innermost is one, too."""
    assert round_trip(Tree, grown(64)) == grown(64)
    for levels in (65, 128):
        assert refusal(Tree, grown(levels)) == [
            ("", "nested deeper than 128 levels; each list and each object is one"),
        ]
    assert refusal(Tree, grown(300)) == [("", "it is nested too deeply or contains itself")]  # for its serialiser
    assert refusal(dict[str, Any], {"a": JSON.decode(b"[" * 128 + b"]" * 128)}) != []


def test_an_arbitrary_class_that_is_never_written_is_fine():
    class Holder(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        opaque: Opaque | None = Field(default=None, exclude=True)
        n: int

    assert round_trip(Holder, Holder(opaque=Opaque(), n=1)).n == 1  # type: ignore[attr-defined]


def test_a_class_with_its_own_validator_and_serialiser_is_fine():
    annotation = Annotated[
        Opaque,
        pydantic.PlainValidator(lambda value: value if isinstance(value, Opaque) else Opaque()),
        pydantic.PlainSerializer(lambda _: "opaque", return_type=str),
    ]

    assert Schema.of(annotation).encode(Opaque()) == b'"opaque"'


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Order, Order(id=1, items=[Item(sku="a", price=1.5)])),
        (Totals, {"count": 1}),
        (Point, Point(1)),
        (Box[int], Box[int](content=1)),
        (Pair, Pair(1, "a")),
        (Color, Color.RED),
        (dict[int, str], {1: "a"}),
        (dict[date, int], {date(2020, 1, 2): 1}),
        (tuple[int, str], (1, "a")),
        (set[str], {"a", "b", "c"}),
        (bytes, b"abc"),
        (datetime, datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        (timedelta, timedelta(days=1, microseconds=1)),
        (Decimal, Decimal("1.10")),
        (UUID, UUID(int=7)),
        (Optional[int], None),  # noqa: UP045
        (UserId, 7),
        (type(None), None),
    ],
)
def test_values_of_declared_types_come_back_equal(annotation, value):
    """5.9."""
    assert round_trip(annotation, value) == value


@given(st.lists(st.builds(Order, id=st.integers(), items=st.lists(st.builds(Item, price=st.floats(allow_nan=False))))))
def test_models_come_back_equal_or_are_refused(orders):
    """5.9."""
    finite = all(math.isfinite(item.price) for order in orders for item in order.items)

    if finite:
        assert round_trip(list[Order], orders) == orders
    else:
        assert "is not JSON" in refusal(list[Order], orders)[0][1]


def test_input_is_read_as_pydantic_reads_it():
    assert Schema.of(int).encode("5") == b"5"
    assert Schema.of(Order).encode({"id": 1}) == b'{"id":1,"items":[]}'


def test_aliases_are_what_is_recorded():
    class Aliased(BaseModel):
        user_id: int = Field(alias="userId")

    assert Schema.of(Aliased).encode({"userId": 1}) == b'{"userId":1}'
    assert round_trip(Aliased, {"userId": 1}).user_id == 1  # type: ignore[attr-defined]


def test_decoding_gives_fresh_objects():
    """5.9."""
    schema = Schema.of(list[int])

    assert schema.decode(b"[1]") is not schema.decode(b"[1]")


def test_a_mismatch_names_every_path():
    """5.10."""
    value = {"id": "x", "items": [{"sku": "a"}, {"sku": "b", "price": "y"}, {}]}

    assert refusal(Order, value) == [
        ("id", "input should be a valid integer, unable to parse string as an integer"),
        ("items[1].price", "input should be a valid number, unable to parse string as a number"),
        ("items[2].sku", "field required"),
    ]


def test_tags_of_unions_are_no_part_of_a_path():
    """5.10."""
    paths = {path for path, _ in refusal(dict[str, int | list[Order]], {"a": [{"items": []}]})}

    assert paths == {"a", "a[0].id"}


def test_a_bad_key_is_named_as_a_key():
    ((path, reason),) = refusal(dict[int, str], {"x": "a"})

    assert (path, reason[:9]) == ("x", "the key: ")


def test_decoding_what_does_not_fit_names_the_path():
    with pytest.raises(InvalidValueError) as caught:
        Schema.of(Order).decode(b'{"id":1,"items":[{}]}')

    assert [problem.path for problem in caught.value.problems] == ["items[0].sku"]


@pytest.mark.parametrize("raw", [b"", b"{", b"NaN", b"[Infinity]", b"\xff"])
def test_decoding_what_is_not_json_is_refused(raw):
    with pytest.raises(InvalidValueError):
        Schema.of(list[float] | float).decode(raw)


def test_text_that_only_looks_like_a_constant_is_text():
    assert round_trip(list[str], ["NaN", "Infinity"]) == ["NaN", "Infinity"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("annotation", [dict[str, list[float]], dict[str, list[float | None]], dict[str, Any]], ids=str)
def test_a_number_that_is_none_is_refused_with_its_path(annotation, number):
    """5.9: pydantic alone would write null."""
    expected = f"{number} is not JSON; use None or a string for it"

    assert refusal(annotation, {"a": [0.5, number]}) == [("a[1]", expected)]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_constants_of_javascript_are_refused(number):
    """5.9: JSON has none, whatever the model asks for."""

    class Loose(BaseModel):
        model_config = ConfigDict(ser_json_inf_nan="constants")
        n: float

    assert [path for path, _ in refusal(Loose, Loose(n=number))] == ["n"]


def test_infinity_written_as_text_comes_back():
    class Textual(BaseModel):
        model_config = ConfigDict(ser_json_inf_nan="strings")
        n: float

    assert round_trip(Textual, Textual(n=math.inf)) == Textual(n=math.inf)
    assert math.isnan(round_trip(Textual, Textual(n=math.nan)).n)  # type: ignore[attr-defined]


def test_a_key_that_turns_into_text_is_refused():
    """5.9."""
    ((path, reason),) = refusal(dict[str, dict[Any, int]], {"a": {1: 2}})

    assert path == "a"
    assert reason.startswith("the key 1 is an int; keys are strings in JSON")


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (Item, SaleItem(sku="a"), ""),
        (list[Item], [Item(sku="a"), SaleItem(sku="b", discount=3)], "[1]"),
        (Order, Order(id=1, items=[SaleItem(sku="a")]), "items[0]"),
        (Point, Point3(1, 2), ""),
        (dict[str, Point], {"p": Point3(1, 2)}, "p"),
    ],
)
def test_a_subclass_with_more_fields_than_declared_is_refused(annotation, value, path):
    """5.9: pydantic alone would drop them."""
    ((found, reason),) = refusal(annotation, value)

    assert found == path
    assert "has more fields than the declared" in reason


def test_a_subclass_with_the_same_fields_is_fine():
    class Renamed(Item):
        pass

    assert round_trip(Item, Renamed(sku="a")) == Item(sku="a")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), "a datetime comes back as a str"),
        (Item(sku="a"), "an Item comes back as a dict"),
        ({1}, "a set comes back as a list"),
        (Decimal(1), "a Decimal comes back as a str"),
    ],
)
def test_what_would_turn_into_something_else_is_refused(value, reason):
    """5.9."""
    assert refusal(list[Any], [value]) == [("[0]", f"{reason}; annotate the type so that it is converted back")]


class Text(str):
    __slots__ = ()


class Size(enum.IntEnum):
    LARGE = 3


class Word(enum.StrEnum):
    YES = "yes"


class Row(TypedDict):
    tags: list[str]
    word: Literal["yes", "no"]
    size: int | None
    parts: dict[str, Totals]


ODD_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([Text("yes"), Size.LARGE, Word.YES, b"yes", "5", 5.0, Decimal(5), Item(sku="a"), Point3(1), 2**70]),
)
ODD_VALUES = st.recursive(
    ODD_LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(st.sampled_from(["a", Text("a"), Word.YES, 1]), inner, max_size=2),
        st.fixed_dictionaries({"count": inner}, optional={"more": inner}),
        st.fixed_dictionaries(
            {"tags": st.lists(inner, max_size=2), "word": inner, "size": inner},
            optional={"parts": st.dictionaries(st.text(max_size=2), inner, max_size=2), "more": inner},
        ),
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "annotation",
    [None, bool, int, float, str, Literal["yes"], int | None, list[int], list[Totals], dict[str, float], Totals, Row],
    ids=name_of,
)
@given(value=ODD_VALUES)
def test_what_a_plain_type_lets_through_is_what_its_serialiser_expects(annotation, value):
    """`Schema.encode` does not ask the serialiser of a plain type for errors."""
    adapter = pydantic.TypeAdapter(annotation)
    assert is_plain(adapter.core_schema)

    with contextlib.suppress(pydantic.ValidationError):
        validated = adapter.validate_python(value)

        adapter.serializer.to_json(validated, warnings="error")


class Open(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    count: int


@pytest.mark.parametrize(
    "annotation",
    [
        Item,
        Point,
        Open,
        Any,
        list,
        dict,
        dict[str, Any],
        list[Item],
        int | str,
        Annotated[int, pydantic.PlainSerializer(str)],
        Annotated[int, pydantic.AfterValidator(str)],
        list[Annotated[str, pydantic.BeforeValidator(str)]],
    ],
    ids=repr,
)
def test_types_that_may_hold_or_do_anything_are_not_plain(annotation):
    assert not is_plain(pydantic.TypeAdapter(annotation).core_schema)


def test_what_comes_back_changed_is_refused():
    """5.9."""
    shortened = Annotated[str, pydantic.PlainSerializer(lambda text: text[:3])]

    ((path, reason),) = refusal(dict[str, shortened], {"key": "hunter2"})

    assert path == "key"
    assert "comes back as" in reason


def test_items_that_come_back_fewer_are_refused():
    """5.9."""
    annotation = Annotated[list[int], pydantic.AfterValidator(lambda items: items[:-1])]

    assert refusal(annotation, [1, 2, 3]) == [("", "2 items come back as 1")]


def test_a_value_that_is_written_differently_each_time_is_refused():
    """5.9."""
    calls = iter(range(9))

    class Same(Opaque):
        pass

    annotation = Annotated[
        Same,
        pydantic.PlainValidator(lambda value: value if isinstance(value, Same) else Same()),
        pydantic.PlainSerializer(lambda _: next(calls), return_type=int),
    ]

    assert "encoding it again" in refusal(annotation, Same())[0][1]


def test_excluded_fields_may_be_lost():
    class Cached(BaseModel):
        n: int
        cache: str = Field(default="", exclude=True)

    assert Schema.of(Cached).encode(Cached(n=1, cache="x")) == b'{"n":1}'


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("month", [3, 10], ids=["skipped", "twice"])
def test_time_at_which_the_clocks_change_comes_back(month: int, fold: int):
    """5.9: such a time of a zone is equal to none of another zone, and yet it is the same one."""
    day = {3: 29, 10: 25}[month]
    at = datetime(2026, month, day, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)

    raw = Schema.of(dict[datetime, list[datetime]]).encode({at: [at]})

    ((key, items),) = Schema.of(dict[datetime, list[datetime]]).decode(raw).items()
    assert key == items[0]
    assert (key.replace(tzinfo=None), key.utcoffset()) == (at.replace(tzinfo=None), at.utcoffset())
    assert Schema.of(set[datetime]).decode(Schema.of(set[datetime]).encode({at})) == {key}


def test_tuples_in_untyped_places_come_back_as_lists():
    assert round_trip(dict[str, Any], {"a": (1, 2)}) == {"a": [1, 2]}


def test_private_attributes_may_be_lost():
    class Private(BaseModel):
        n: int
        _token: object = pydantic.PrivateAttr(default_factory=object)

    assert Schema.of(Private).encode(Private(n=1)) == b'{"n":1}'


def test_a_model_changed_into_something_invalid_is_refused():
    """5.10."""
    item = Item(sku="a")
    item.price = "free"  # type: ignore[assignment]

    ((path, reason),) = refusal(list[Item], [item])

    assert path == "[0].price"
    assert "valid number" in reason


def test_a_model_changed_into_something_convertible_is_refused():
    """5.10."""
    item = Item(sku="a")
    item.price = "5"  # type: ignore[assignment]

    assert [path for path, _ in refusal(list[Item], [item])] == ["[0].price"]


def test_an_object_that_json_cannot_hold_is_refused_with_its_path():
    """5.9."""
    ((path, reason),) = refusal(dict[str, Any], {"a": [Opaque()]})

    assert path == "a[0]"
    assert "Opaque" in reason


@pytest.mark.parametrize("annotation", [dict[str, Any], dict[str, bytes]], ids=str)
def test_bytes_that_are_no_text_are_refused_with_their_path(annotation):
    ((path, reason),) = refusal(annotation, {"a": b"\xff"})

    assert path == "a"
    assert "utf-8" in reason


def test_a_lone_surrogate_is_refused():
    assert refusal(list[Any], ["\ud800"])
    assert refusal(list[str], ["\ud800"])


def test_a_value_that_contains_itself_is_refused():
    value: list[object] = []
    value.append(value)

    assert refusal(list[Any], value) == [("[0][0]", "it contains itself; JSON has no references")]


def test_deep_nesting_is_refused():
    value: list[object] = []
    for _ in range(100_000):
        value = [value]

    assert refusal(list[Any], value)


def test_what_a_validator_raises_is_a_problem_of_the_value():
    """9.5."""

    def check(_: object) -> int:
        raise KeyError("x")

    assert refusal(Annotated[int, pydantic.BeforeValidator(check)], 1) == [("", "KeyError: 'x'")]


def test_what_a_serialiser_raises_is_a_problem_of_the_value():
    """9.5."""

    def fail(_: object) -> str:
        raise RuntimeError("no ink")

    ((_, reason),) = refusal(Annotated[int, pydantic.PlainSerializer(fail)], 1)

    assert "no ink" in reason


def test_what_a_comparison_raises_is_a_problem_of_the_value():
    """9.5."""

    class Touchy(BaseModel):
        n: int

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("do not compare")

        __hash__ = None  # type: ignore[assignment]

    ((_, reason),) = refusal(Touchy, Touchy(n=1))

    assert "do not compare" in reason


def test_cancellation_in_a_validator_is_not_swallowed():
    def cancel(_: object) -> int:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        Schema.of(Annotated[int, pydantic.BeforeValidator(cancel)]).encode(1)


def test_json_schema_of_both_sides():
    class Both(BaseModel):
        user_id: int = Field(alias="userId")

        @pydantic.computed_field
        def double(self) -> int:
            return self.user_id * 2

    schema = Schema.of(Both)

    assert set(schema.to_json_schema("validation")["properties"]) == {"userId"}  # type: ignore[arg-type]
    assert set(schema.to_json_schema("serialization")["properties"]) == {"userId", "double"}  # type: ignore[arg-type]


def test_json_schema_is_the_callers_own():
    schema = Schema.of(Order)
    schema.to_json_schema("validation").clear()

    assert schema.to_json_schema("validation")["title"] == "Order"


def test_json_schema_of_json_is_empty():
    assert JSON.to_json_schema("validation") == {} == JSON.shape("serialization")


def test_a_part_without_json_schema_is_described_as_anything():
    annotation = Annotated[Opaque, pydantic.BeforeValidator(lambda _: Opaque()), pydantic.PlainSerializer(str)]

    class Holder(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        opaque: annotation  # type: ignore[valid-type]

    described = Schema.of(Holder).to_json_schema("validation")

    assert described["properties"] == {"opaque": {"title": "Opaque"}}


def test_a_hook_that_cannot_describe_its_type_is_a_definition_error():
    class Shy:
        @classmethod
        def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
            return pydantic.TypeAdapter(int).core_schema

        @classmethod
        def __get_pydantic_json_schema__(cls, core_schema: object, handler: object) -> object:
            raise RuntimeError("no comment")

    with pytest.raises(DefinitionError, match="no comment"):
        Schema.of(Shy).to_json_schema("validation")
