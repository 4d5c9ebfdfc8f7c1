"""Retries: whether and when a failed attempt is made again, and what authors may ask for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.backoff import retry_at
from outlast.errors import DefinitionError
from outlast.failures import FailureInfo
from outlast.graph.retry import (
    LONGEST_DELAY_MS,
    Retry,
    RetryRule,
    rule_from_json,
    rule_to_json,
    to_rule,
    type_name,
)

BEGIN, NOW = 1_000_000, 1_060_000
RULES = st.builds(
    RetryRule,
    limit=st.integers(0, 10**30),
    delay_ms=st.integers(0, 10**30),
    backoff=st.floats(1, 1e308),
    max_delay_ms=st.none() | st.integers(0, 10**30),
    jitter=st.floats(0, 1),
    retry_on=st.lists(st.text()).map(tuple),
    stop_on=st.lists(st.text()).map(tuple),
    max_elapsed_ms=st.none() | st.integers(0, 10**30),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised(FailureInfo):
    """A failure that knows its base classes."""

    bases: tuple[str, ...] = ()


class ShopError(Exception):
    pass


class SoldOutError(ShopError):
    pass


def raised(kind: type[BaseException]) -> Raised:
    bases = tuple(type_name(each) for each in kind.__mro__ if issubclass(each, BaseException))
    return Raised(type=kind.__name__, message="", bases=bases)


def due(rule: RetryRule, *, attempt: int = 0, **changes: Any) -> int | None:
    failure = FailureInfo(type="OSError", message="")
    arguments = {"run_id": "r", "path": "fetch", "first_at_ms": BEGIN, "at_ms": NOW, "failure": failure, **changes}
    return retry_at(rule, attempt=attempt, **arguments)


def test_attempt_below_the_limit_is_made_again_after_the_delay():
    assert due(RetryRule(limit=1, delay_ms=500)) == NOW + 500


def test_attempt_at_the_limit_is_the_last():
    assert due(RetryRule(limit=2), attempt=2) is None


def test_failure_that_is_not_retryable_is_not_tried_again():
    assert due(RetryRule(limit=3), failure=FailureInfo(type="X", message="", is_retryable=False)) is None


def test_each_pause_is_longer_by_the_backoff_factor():
    rule = RetryRule(limit=9, delay_ms=1000, backoff=2)

    assert [due(rule, attempt=attempt) for attempt in range(4)] == [NOW + 1000, NOW + 2000, NOW + 4000, NOW + 8000]


def test_no_pause_is_longer_than_max_delay():
    assert due(RetryRule(limit=9, delay_ms=1000, backoff=10, max_delay_ms=5000), attempt=3) == NOW + 5000


@pytest.mark.parametrize("attempt", [400, 10**6, 10**400])
def test_pause_never_overflows(attempt):
    assert due(RetryRule(limit=10**500, delay_ms=1000, backoff=2.5), attempt=attempt) == NOW + LONGEST_DELAY_MS


@pytest.mark.parametrize("attempt", [0, 10**6, 10**400])
def test_pause_without_backoff_stays_the_same(attempt):
    assert due(RetryRule(limit=10**500, delay_ms=1000), attempt=attempt) == NOW + 1000


def test_no_delay_stays_none_however_many_attempts():
    assert due(RetryRule(limit=10**9, backoff=1e300), attempt=10**8) == NOW


@given(rule=RULES, attempt=st.integers(0, 10**30), at_ms=st.integers(0, 2**43), run_id=st.text(), path=st.text())
def test_attempt_is_never_due_before_its_failure_nor_beyond_the_longest_pause(rule, attempt, at_ms, run_id, path):
    at = due(rule, attempt=attempt, at_ms=at_ms, run_id=run_id, path=path)

    assert at is None or at_ms <= at <= at_ms + LONGEST_DELAY_MS


@given(st.integers(0, 50), st.floats(0, 1))
def test_jitter_shortens_a_pause_by_at_most_its_share(attempt, jitter):
    at = due(RetryRule(limit=99, delay_ms=10_000, jitter=jitter), attempt=attempt)

    assert at is not None
    assert 10_000 * (1 - jitter) - 1 <= at - NOW <= 10_000


def test_jitter_is_the_same_whenever_it_is_computed():
    rule = RetryRule(limit=3, delay_ms=100_000, jitter=1)

    assert due(rule) == due(rule) == NOW + 17_741


@pytest.mark.parametrize(
    "other", [{"run_id": "s"}, {"path": "pay"}, {"attempt": 1}], ids=lambda other: next(iter(other))
)
def test_jitter_differs_by_run_path_and_attempt(other):
    rule = RetryRule(limit=3, delay_ms=1_000_000, jitter=1)

    assert due(rule) != due(rule, **other)


def test_attempt_that_would_begin_after_max_elapsed_is_not_made():
    rule = RetryRule(limit=3, delay_ms=1000, max_elapsed_ms=60_999)

    assert due(rule) is None


def test_attempt_that_begins_exactly_at_max_elapsed_is_made():
    assert due(RetryRule(limit=3, delay_ms=1000, max_elapsed_ms=61_000)) == NOW + 1000


def test_clock_that_went_back_does_not_end_retries():
    assert due(RetryRule(limit=3, max_elapsed_ms=10), first_at_ms=NOW + 5000) == NOW


@pytest.mark.parametrize(("kind", "is_retried"), [(ShopError, True), (SoldOutError, True), (OSError, False)], ids=str)
def test_retry_on_takes_these_types_and_their_subclasses_only(kind, is_retried):
    rule = to_rule(Retry(limit=1, retry_on=(ShopError,)))

    assert (due(rule, failure=raised(kind)) is not None) is is_retried


@pytest.mark.parametrize(("kind", "is_retried"), [(ShopError, True), (SoldOutError, False), (OSError, True)], ids=str)
def test_stop_on_ends_retries_for_these_types(kind, is_retried):
    rule = to_rule(Retry(limit=1, stop_on=(SoldOutError,)))

    assert (due(rule, failure=raised(kind)) is not None) is is_retried


def test_stop_on_wins_over_retry_on():
    rule = to_rule(Retry(limit=1, retry_on=(Exception,), stop_on=(ShopError,)))

    assert due(rule, failure=raised(SoldOutError)) is None


def test_foreign_type_of_the_same_name_is_another_type():
    foreign = type("ConnectionError", (Exception,), {"__module__": "requests.exceptions"})

    assert due(to_rule(Retry(limit=1, retry_on=(ConnectionError,))), failure=raised(foreign)) is None


def test_failure_without_bases_is_known_by_its_bare_name():
    rule = to_rule(Retry(limit=1, retry_on=(ShopError,)))

    assert due(rule, failure=FailureInfo(type="ShopError", message="")) == NOW
    assert due(rule, failure=FailureInfo(type="WorkshopError", message="")) is None


@given(RULES)
def test_rule_survives_json(rule):
    assert rule_from_json(json.loads(json.dumps(rule_to_json(rule)))) == rule


def test_rule_of_an_older_document_is_read_with_defaults():
    assert rule_from_json({"limit": 2, "delay_ms": 5}) == RetryRule(limit=2, delay_ms=5)


def test_plain_number_means_so_many_retries_at_once():
    assert to_rule(3) == RetryRule(limit=3)


def test_no_policy_means_no_retry():
    assert to_rule(None) == RetryRule()


def test_durations_are_seconds_or_timedeltas():
    rule = to_rule(Retry(limit=1, delay=0.25, max_delay=timedelta(seconds=2), max_elapsed=timedelta(minutes=1)))

    assert rule == RetryRule(limit=1, delay_ms=250, max_delay_ms=2000, max_elapsed_ms=60_000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": -1}, "Retry: limit is how many attempts follow the first one, 0 or more, not -1"),
        ({"limit": True}, "Retry: limit is how many attempts follow the first one, 0 or more, not True"),
        ({"limit": float("inf")}, "Retry: limit is how many attempts follow the first one, 0 or more, not inf"),
        ({"limit": 1, "delay": "1s"}, "Retry: delay is a timedelta or a number of seconds, not '1s'"),
        ({"limit": 1, "delay": None}, "Retry: delay is a timedelta or a number of seconds, not None"),
        ({"limit": 1, "delay": -1}, "Retry: delay must be between 0 and ten years, not -1"),
        ({"limit": 1, "max_delay": 1e300}, "Retry: max_delay must be between 0 and ten years, not 1e+300"),
        (
            {"limit": 1, "backoff": 0.5},
            "Retry: backoff is a factor of at least 1, not 0.5; 1 keeps the pauses equal, 2 doubles them",
        ),
        ({"limit": 1, "jitter": 2}, "Retry: jitter is the share of a pause that may be left out, from 0 to 1, not 2"),
        (
            {"limit": 1, "delay": 9, "max_delay": 3},
            "Retry: max_delay 3 is shorter than delay 9, the first pause",
        ),
        (
            {"limit": 1, "retry_on": OSError},
            "Retry: retry_on is a tuple of exception types; write (OSError,)",
        ),
        ({"limit": 1, "stop_on": ["OSError"]}, "Retry: stop_on is a tuple of exception types, not ['OSError']"),
        ({"limit": 1, "stop_on": ("OSError",)}, "Retry: stop_on holds 'OSError', which is not an exception type"),
        (
            {"limit": 1, "retry_on": (OSError,), "stop_on": (OSError,)},
            "Retry: OSError is both in retry_on and in stop_on; take it out of one",
        ),
    ],
    ids=lambda case: repr(case) if isinstance(case, dict) else "",
)
def test_policy_that_cannot_work_is_refused_with_advice(options, message):
    with pytest.raises(DefinitionError) as refused:
        Retry(**options)

    assert str(refused.value) == message
