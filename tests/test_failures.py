"""What is kept of an exception (rules 9.4 and 9.5): always something, always data that fits into the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from outlast.failures import describe_exception, failure_from_json, failure_to_json
from outlast.graph.retry import Retry, to_rule
from outlast.values import decode, encode


class NoDictError(Exception):
    @property
    def __dict__(self) -> Any:
        raise RuntimeError("no attributes")


class NoCauseError(Exception):
    @property
    def __cause__(self) -> Any:
        raise RuntimeError("no cause")


class NoTracebackError(Exception):
    __traceback__: Any = property(lambda _: "none")


class NoAttributeError(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class NoTruthError(Exception):
    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


class OddText(str):
    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        raise RuntimeError("no bytes")


class OddTextError(Exception):
    def __str__(self) -> str:
        return OddText("odd")


class _NoModule(type):
    @property
    def __module__(cls) -> str:
        raise RuntimeError("no module")


class NoModuleError(Exception, metaclass=_NoModule):
    pass


def _with(**attributes: Any) -> Exception:
    error = ValueError("odd attributes")
    vars(error).update(attributes)
    return error


def _numbered() -> Exception:
    error = ValueError("numbered")
    vars(error)[5] = "five"  # type: ignore[index]
    return error


def _caused() -> Exception:
    error = ValueError("outer")
    error.__cause__ = NoTruthError("inner")
    return error


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (NoDictError, "NoDictError"),
        (NoCauseError, "NoCauseError"),
        (NoTracebackError, "NoTracebackError"),
        (NoAttributeError, "NoAttributeError"),
        (OddTextError, "OddTextError"),
        (NoModuleError, "NoModuleError"),
        (_numbered, "ValueError"),
        (_caused, "ValueError"),
        (lambda: _with(**{"\ud800": 1}), "ValueError"),
        (lambda: ExceptionGroup("group", [NoAttributeError("member")]), "ExceptionGroup"),
    ],
)
def test_broken_exception_is_kept_all_the_same(make: Callable[[], Exception], name: str) -> None:
    """9.5: nothing escapes, also when the failure itself cannot be looked at."""
    failure = describe_exception(make())

    assert failure.type == name
    assert failure_from_json(decode(encode(failure_to_json(failure)))) == failure  # type: ignore[arg-type]


def test_attributes_that_json_can_hold_are_kept_beside_those_that_it_cannot() -> None:
    """9.4: custom attributes that are JSON."""
    attributes = _with(good=1, bad=object(), surrogate="\ud800", _own=2, **{"\ud800": 3}, nested={"a": [1]})

    assert describe_exception(attributes).attributes == {"good": 1, "nested": {"a": [1]}}


def test_attribute_is_kept_as_it_was_when_the_exception_was_raised() -> None:
    """9.4, 5.9: data, which nobody changes afterwards."""
    items = [1]
    failure = describe_exception(_with(items=items))
    items.append(2)

    assert failure.attributes == {"items": [1]}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: _with(**{f"field{number}": "x" * 10_000 for number in range(1_000)}),
            id="many-attributes",
            marks=pytest.mark.slow,
        ),
        pytest.param(lambda: _with(**{"k" * 1_000_000: 1}), id="long-key"),
        pytest.param(type("N" * 1_000_000, (Exception,), {}), id="long-name"),
    ],
)
def test_failure_always_fits_into_the_journal(make: Callable[[], Exception]) -> None:
    """9.4: also with all its causes."""
    error = first = make()
    for _ in range(20):
        error.__cause__ = error = make()

    assert 0 < len(encode(failure_to_json(describe_exception(first)))) < 4 * 1024 * 1024


def test_retry_rule_knows_an_exception_with_a_very_long_name() -> None:
    """9.1: `retry_on` names it as the failure does."""
    kind = type("N" * 100_000, (Exception,), {})
    (name,) = to_rule(Retry(limit=1, retry_on=(kind,))).retry_on

    assert name in describe_exception(kind()).bases
