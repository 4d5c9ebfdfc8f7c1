"""State: how patches merge, in which order, and what they leave alone."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.graph.merge import compose, merge
from outlast.graph.patch import Operation, PatchVerb, patch_from_json, patch_to_json
from outlast.values import InvalidValueError, encode

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just("text")
KEYS = st.sampled_from(["x", "y"])
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(KEYS, SCALARS))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
FIELDS = st.sampled_from(["a", "b", "c"])
STATES = st.dictionaries(FIELDS, VALUES)
TAKES = {
    PatchVerb.REPLACE: VALUES,
    PatchVerb.DELETE: st.none(),
    PatchVerb.APPEND: VALUES,
    PatchVerb.EXTEND: st.lists(SCALARS, max_size=3),
    PatchVerb.ADD: NUMBERS,
    PatchVerb.MAX: NUMBERS,
    PatchVerb.MIN: NUMBERS,
    PatchVerb.UNION: st.lists(SCALARS, max_size=3),
    PatchVerb.MERGE_DICT: st.dictionaries(KEYS, SCALARS),
}
OPERATIONS = st.one_of(*(st.builds(Operation, FIELDS, st.just(verb), values) for verb, values in TAKES.items()))
PATCHES = st.lists(OPERATIONS, max_size=4).map(tuple)
few = settings(max_examples=40)


def after(state, *operations):
    return merge(state, tuple(Operation(*operation) for operation in operations))


def test_field_that_is_not_named_stays():
    assert after({"a": 1, "b": 2}, ("a", PatchVerb.REPLACE, 3)) == {"a": 3, "b": 2}


def test_none_sets_null():
    assert after({"a": 1}, ("a", PatchVerb.REPLACE, None)) == {"a": None}


def test_delete_removes_the_field():
    assert after({"a": 1, "b": 2}, ("a", PatchVerb.DELETE)) == {"b": 2}


def test_delete_of_what_is_not_there_changes_nothing():
    assert after({"b": 2}, ("a", PatchVerb.DELETE)) == {"b": 2}


def test_last_operation_on_a_field_wins():
    assert after({}, ("a", PatchVerb.REPLACE, 1), ("a", PatchVerb.REPLACE, 2)) == {"a": 2}


def test_field_can_be_emptied_and_filled_in_one_patch():
    assert after({"a": [1, 2]}, ("a", PatchVerb.DELETE), ("a", PatchVerb.APPEND, 3)) == {"a": [3]}


@pytest.mark.parametrize(
    ("verb", "before", "value", "result"),
    [
        (PatchVerb.APPEND, [1], [2], [1, [2]]),
        (PatchVerb.EXTEND, [1], [2, 1], [1, 2, 1]),
        (PatchVerb.ADD, 1, 2, 3),
        (PatchVerb.ADD, 1, 0.5, 1.5),
        (PatchVerb.MAX, 1, 2, 2),
        (PatchVerb.MAX, 3, 2, 3),
        (PatchVerb.MIN, 1, 2, 1),
        (PatchVerb.MIN, 3, 2, 2),
        (PatchVerb.UNION, [1, 2], [2, 3, 3], [1, 2, 3]),
        (PatchVerb.UNION, [{"a": 1, "b": 2}], [{"b": 2, "a": 1}], [{"a": 1, "b": 2}]),
        (PatchVerb.UNION, [1], [True], [1, True]),
        (PatchVerb.MERGE_DICT, {"a": 1, "b": 2}, {"b": None, "c": 3}, {"a": 1, "b": None, "c": 3}),
    ],
    ids=repr,
)
def test_reducer_combines_what_is_there_with_what_is_set(verb, before, value, result):
    assert encode(after({"a": before}, ("a", verb, value))) == encode({"a": result})


@pytest.mark.parametrize("before", [{}, {"a": None}, {"a": "of another kind"}], ids=["missing", "null", "other kind"])
@pytest.mark.parametrize(
    ("verb", "value", "result"),
    [
        (PatchVerb.APPEND, 1, [1]),
        (PatchVerb.EXTEND, [1], [1]),
        (PatchVerb.ADD, 1, 1),
        (PatchVerb.MAX, 1, 1),
        (PatchVerb.MIN, 1, 1),
        (PatchVerb.UNION, [1], [1]),
        (PatchVerb.MERGE_DICT, {"b": 1}, {"b": 1}),
    ],
    ids=repr,
)
def test_what_does_not_fit_a_reducer_counts_as_empty(before, verb, value, result):
    assert after(before, ("a", verb, value)) == {"a": result}


@pytest.mark.parametrize(
    ("before", "value", "result"),
    [
        (1e308, 1e308, 1.7976931348623157e308),
        (-1e308, -1e308, -1.7976931348623157e308),
        (10**400, 1.0, int(1.7976931348623157e308)),
        (1.0, -(10**400), -int(1.7976931348623157e308)),
    ],
    ids=["up", "down", "beyond floats", "below floats"],
)
def test_sums_stop_at_the_largest_float(before, value, result):
    assert after({"a": before}, ("a", PatchVerb.ADD, value)) == {"a": result}


@few
@given(STATES, PATCHES)
def test_merged_state_is_always_json(state, patch):
    encode(merge(state, patch))


@few
@given(STATES, PATCHES)
def test_merge_changes_neither_state_nor_patch(state, patch):
    before = copy.deepcopy((state, patch))

    merge(state, patch)

    assert (state, patch) == before


def test_merged_state_shares_nothing_with_state_and_patch():
    state = {"kept": {"inner": [1]}, "log": [[1]]}
    patch = (Operation("log", PatchVerb.APPEND, [2]), Operation("set", PatchVerb.REPLACE, {"x": []}))

    merged = merge(state, patch)
    merged["kept"]["inner"].append(9)
    merged["log"][0].append(9)
    merged["log"][1].append(9)
    merged["set"]["x"].append(9)

    assert state == {"kept": {"inner": [1]}, "log": [[1]]}
    assert patch == (Operation("log", PatchVerb.APPEND, [2]), Operation("set", PatchVerb.REPLACE, {"x": []}))


@few
@given(STATES, PATCHES, PATCHES)
def test_composed_patch_does_what_both_do_in_order(state, first, second):
    assert encode(_sorted(merge(state, compose(first, second)))) == encode(_sorted(merge(merge(state, first), second)))


@few
@given(PATCHES, PATCHES, PATCHES)
def test_composition_is_associative(first, second, third):
    assert compose(compose(first, second), third) == compose(first, compose(second, third))


@few
@given(PATCHES)
def test_empty_patch_is_neutral(patch):
    assert compose((), patch) == compose(patch, ()) == compose(patch, patch[len(patch) :])


@few
@given(STATES, PATCHES, PATCHES)
def test_patches_of_different_fields_merge_in_any_order(state, first, second):
    fields = {operation.field for operation in first}
    second = tuple(operation for operation in second if operation.field not in fields)

    assert merge(merge(state, first), second) == merge(merge(state, second), first)


def test_composition_forgets_what_a_later_operation_wipes_out():
    first = (Operation("a", PatchVerb.APPEND, 1), Operation("b", PatchVerb.ADD, 1))
    second = (Operation("a", PatchVerb.DELETE), Operation("a", PatchVerb.APPEND, 2))

    assert compose(first, second) == (first[1], *second)


@few
@given(PATCHES)
def test_patch_survives_json(patch):
    assert patch_from_json(json.loads(json.dumps(patch_to_json(patch)))) == patch


def test_wire_form_keeps_what_is_done_apart_from_the_value():
    patch = (Operation("a", PatchVerb.REPLACE, ["a", "delete", None]), Operation("b", PatchVerb.DELETE))

    assert patch_to_json(patch) == [["a", "replace", ["a", "delete", None]], ["b", "delete", None]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": 1}, "a patch is a list of operations"),
        ([["a", "replace"]], "[0]: an operation is [field, operation, value]"),
        ([["a", "multiply", 2]], "[0]: operation 'multiply' is unknown to this version of outlast; upgrade it"),
    ],
    ids=["no list", "too short", "newer"],
)
def test_wire_form_of_another_version_is_refused(data, message):
    with pytest.raises(InvalidValueError) as refused:
        patch_from_json(data)

    assert str(refused.value) == message


def _sorted(state):
    return dict(sorted(state.items()))
