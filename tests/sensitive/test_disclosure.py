"""What a call knows of sensitive values, and what becomes of them in what it gives back."""

from __future__ import annotations

import json

import pytest

from outlast import Keyring, SealBrokenError
from outlast.sealing import MASK, Disclosure, is_sealed, masked_value
from outlast.values import InvalidValueError, JsonValue, encode

SEALER = Keyring({"k": Keyring.new_key()}).sealers(["w"])["w"]


def knowing(value: JsonValue) -> Disclosure:
    disclosure = Disclosure(SEALER)
    disclosure.open(encode(Disclosure(SEALER).seal(value)))
    return disclosure


@pytest.mark.parametrize(
    ("known", "given", "shown"),
    [
        ("secret", "secret", MASK),
        ("secret", "a secret.", MASK),
        ("secret", "secre", "secre"),
        ("abc", ["abc", "abcd"], [MASK, "abcd"]),
        (12, {"a": 12, "b": 13, "c": "12"}, {"a": MASK, "b": 13, "c": "12"}),
        (True, [True, 1, "true"], [MASK, 1, "true"]),
        ({"a": ["secret"]}, [{"a": ["secret"]}, "x secret"], [MASK, MASK]),
        ("", ["", None], ["", None]),
    ],
)
def test_what_a_body_was_given_is_sealed_again(known: JsonValue, given: JsonValue, shown: JsonValue):
    sealed = knowing(known).reseal_value(given)

    assert masked_value(sealed) == shown


def test_key_that_holds_a_sensitive_text_is_refused():
    with pytest.raises(InvalidValueError, match="keys are recorded in clear"):
        knowing("secret").reseal_value({"my secret": 1})


def test_sealed_json_opens_to_what_it_was_wherever_it_stands():
    disclosure = Disclosure(SEALER)
    nested = disclosure.seal({"y": disclosure.seal(1)})
    value: JsonValue = {"q\\": disclosure.seal('a"b'), "x": [nested, "outlast:sealed:"]}

    assert json.loads(disclosure.open(encode(value))) == {"q\\": 'a"b', "x": [{"y": 1}, "outlast:sealed:"]}


def test_equal_values_are_sealed_differently_and_short_ones_to_the_same_length():
    disclosure = Disclosure(SEALER)
    texts = [str(disclosure.seal(each)) for each in (True, False, False, 7)]

    assert len(set(texts)) == 4
    assert len({len(text) for text in texts}) == 1
    assert all(map(is_sealed, texts))


def test_value_of_another_workflow_does_not_open():
    ring = Keyring({"k": Keyring.new_key()}).sealers(["a", "b"])
    sealed = encode(Disclosure(ring["a"]).seal("x"))

    with pytest.raises(SealBrokenError, match="comes from another workflow"):
        Disclosure(ring["b"]).open(sealed)


@pytest.mark.slow
def test_many_values_with_one_beginning_are_looked_for_in_one_pass():
    disclosure = knowing([f"card-{number:06}" for number in range(20_000)])
    rows: list[JsonValue] = [{"name": f"card {number}"} for number in range(20_000)]

    sealed = disclosure.reseal_value({"rows": rows, "x": "my card-019999"})

    assert isinstance(sealed, dict)
    assert is_sealed(sealed["x"])
    assert sealed["rows"] is rows
