"""The JSON that runs are made of: strict, lossless, and spliced without decoding."""

from __future__ import annotations

import enum
import math
import pickle
from collections import OrderedDict
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast import values
from outlast.errors import Problem
from outlast.values import InvalidValueError

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def problems_of(value: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidValueError) as caught:
        values.encode(value)
    return [(problem.path, problem.reason) for problem in caught.value.problems]


@given(json_values)
def test_json_comes_back_as_it_was(value):
    """5.9."""
    assert values.decode(values.encode(value)) == value


def test_encoding_is_compact_and_keeps_unicode():
    assert values.encode({"name": "Łódź", "n": [1, 2]}) == '{"name":"Łódź","n":[1,2]}'.encode()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused_with_its_path(number):
    """5.9."""
    expected = f"{number} is not JSON; use None or a string for it"

    assert problems_of({"items": [{}, {"price": number}]}) == [("items[1].price", expected)]


def test_a_key_that_is_no_string_is_refused_with_the_path_of_its_object():
    """5.9."""
    assert problems_of({"a": {1: "x"}}) == [("a", "the key 1 is an int; keys are strings in JSON")]


def test_an_unknown_type_is_refused_with_what_to_do():
    reason = "a datetime is not JSON; annotate the type so that it is converted"

    assert problems_of([datetime.now(UTC)]) == [("[0]", reason)]


def test_the_value_as_a_whole_has_the_empty_path():
    assert problems_of(b"x") == [("", "a bytes is not JSON; annotate the type so that it is converted")]


def test_all_problems_are_named():
    assert [path for path, _ in problems_of({"a": {1}, "b": [object()], "c d": math.nan})] == ["a", "b[0]", '["c d"]']


def test_the_number_of_reported_problems_is_bounded():
    assert len(problems_of([math.nan] * 1000)) == values.MAX_PROBLEMS


@pytest.mark.parametrize("value", [{"a": "\ud800"}, {"a": ["\ud800"]}])
def test_a_lone_surrogate_is_refused(value):
    ((path, reason),) = problems_of(value)

    assert path.startswith("a")
    assert "lone surrogate" in reason


def test_a_lone_surrogate_in_a_key_is_refused():
    assert "lone surrogate" in problems_of({"\ud800": 1})[0][1]


def test_a_value_that_contains_itself_is_refused():
    value: dict[str, object] = {}
    value["a"] = [value]

    assert problems_of(value) == [("a[0]", "it contains itself; JSON has no references")]


def test_the_same_object_twice_is_no_cycle():
    shared = [1]

    assert values.encode([shared, shared]) == b"[[1],[1]]"


def nested(depth: int) -> object:
    value: object = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [values.MAX_DEPTH + 1, 5_000, 200_000])
def test_deeper_nesting_than_the_limit_is_refused(depth):
    value = nested(depth)

    ((path, reason),) = problems_of(value)

    assert path == "[0]" * values.MAX_DEPTH
    assert reason == f"nested deeper than {values.MAX_DEPTH} levels"


def test_nesting_up_to_the_limit_is_fine():
    value = nested(values.MAX_DEPTH)

    assert values.decode(values.encode(value)) == value


@given(st.recursive(st.text() | st.just(1), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_depth_of_encoded_json_is_that_of_its_brackets_outside_texts(value):
    """5.9: texts may hold brackets and quotes; wrapped to the limit and once more, only the depth decides."""
    room = values.MAX_DEPTH - depth_of(value)
    raw = values.encode(value)

    assert values.is_shallow(b'{"a":' * room + raw + b"}" * room)
    assert not values.is_shallow(b"[" * (room + 1) + raw + b"]" * (room + 1))


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def test_many_shallow_containers_are_not_deep():
    value = [{"a": []}] * 1000

    assert values.decode(values.encode(value)) == value


def test_an_integer_with_too_many_digits_is_refused():
    assert problems_of({"n": 10**5000}) == [("n", "the integer has too many digits")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2,)), b"[1,[2]]"),
        ({"color": Color.RED, Color.RED: Level.HIGH}, b'{"color":"red","red":3}'),
        (OrderedDict(a=1), b'{"a":1}'),
        (True, b"true"),
        (1.0, b"1.0"),
    ],
)
def test_tuples_and_subclasses_are_written_as_their_plain_value(value, expected):
    assert values.encode(value) == expected


def test_a_bad_value_beside_a_tuple_is_still_found():
    assert [path for path, _ in problems_of([(1,), {2: 3}])] == ["[1]"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[1,]", b"NaN", b"[Infinity]", b"\xff", b"1 2", b"[" * 100_000])
def test_malformed_data_is_refused(raw):
    with pytest.raises(InvalidValueError, match=r"^not "):
        values.decode(raw)


def test_every_decoding_is_fresh():
    raw = b'{"a":[]}'

    assert values.decode(raw) is not values.decode(raw)


@given(st.lists(json_values, max_size=8))
def test_splitting_undoes_joining(items):
    raws = [values.encode(item) for item in items]

    assert values.split_list(values.join_list(raws)) == raws


@given(st.dictionaries(st.text(), json_values, max_size=8))
def test_a_joined_object_is_the_object_of_its_parts(items):
    joined = values.join_dict((key, values.encode(value)) for key, value in items.items())

    assert joined == values.encode(items)


@given(json_values, st.lists(json_values, max_size=8))
def test_the_head_of_a_list_is_decoded_and_the_others_are_not(head, items):
    raws = [values.encode(item) for item in items]

    assert values.split_headed_list(values.join_list([values.encode(head), *raws])) == (head, raws)


def test_a_list_without_a_head_is_refused():
    """5.5."""
    with pytest.raises(InvalidValueError, match="an item is needed, this is an empty list"):
        values.split_headed_list(b"[]")


def test_splitting_keeps_the_text_of_items_and_skips_space():
    assert values.split_list(b' [ 1.50 , {"a" : 1},"x" ] ') == [b"1.50", b'{"a" : 1}', b'"x"']


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b"{}", "an object"), (b"null", "null"), (b"true", "a boolean"), (b"1.5", "a number"), (b'"["', "a string")],
)
def test_splitting_what_is_no_list_says_what_it_is(raw, kind):
    """5.5."""
    with pytest.raises(InvalidValueError) as caught:
        values.split_list(raw)

    assert caught.value.problems == (Problem("", f"a list is needed, this is {kind}"),)


@pytest.mark.parametrize("raw", [b"[1 2]", b"[1,]", b"[,1]", b"[1", b"[1]]", b"[", b"\xff", b"[" * 100_000])
def test_splitting_malformed_data_is_refused(raw):
    with pytest.raises(InvalidValueError, match=r"^not "):
        values.split_list(raw)


def test_the_error_reads_as_its_problems_and_can_be_pickled():
    error = InvalidValueError([Problem("a", "bad"), Problem("", "worse")])

    assert str(error) == "a: bad; worse"
    assert pickle.loads(pickle.dumps(error)).problems == error.problems
