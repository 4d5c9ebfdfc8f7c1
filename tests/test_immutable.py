"""What `immutable` and `frozen` give a class, which the standard library's `dataclass` would compile for each anew."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, field, replace

import pytest

from outlast.immutable import frozen, immutable


@immutable
class Pair:
    left: int
    right: list[int] | str = field(default="", repr=False)


@immutable(kw_only=True)
class Alone:
    value: float
    note: str = field(default="", compare=False)


@frozen
class Public:
    name: str = ""


@frozen
class Longer(Public):
    size: int = 0


@immutable
class Empty:
    pass


def test_values_of_one_class_with_equal_fields_are_equal_and_have_one_hash():
    assert (Pair(1, "a"), hash(Pair(1, "a"))) == (replace(Pair(2, "a"), left=1), hash(Pair(1, "a")))
    assert len({Empty(), Empty(), Public(), Public(name=""), Longer(), Alone(value=1)}) == 4
    assert Pair(1) != Pair(2)


def test_values_of_different_classes_are_not_equal():
    assert Public() != Longer()
    assert Alone(value=1) != 1


def test_fields_that_are_not_compared_do_not_count():
    assert Alone(value=1, note="a") == Alone(value=1, note="b")
    assert hash(Alone(value=1, note="a")) == hash(Alone(value=1, note="b"))


def test_a_value_is_equal_to_itself_whatever_it_holds():
    nan = float("nan")

    assert Alone(value=nan) == Alone(value=nan)


def test_a_value_that_holds_what_has_no_hash_has_none():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Pair(1, [2]))


def test_the_representation_names_the_fields_that_are_shown():
    assert repr(Pair(1, "secret")) == "Pair(left=1)"
    assert repr(Longer(name="a", size=2)) == "Longer(name='a', size=2)"


def test_a_frozen_value_takes_its_fields_by_name_and_keeps_them():
    with pytest.raises(TypeError, match="positional"):
        Public("a")  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Public().name = "b"  # type: ignore[misc]
