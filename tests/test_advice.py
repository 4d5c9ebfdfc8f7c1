"""What is said to callers of a verb that does not fit (rules 7.3, 12.3, 12.6), and how much of what they named."""

from __future__ import annotations

import pytest

from outlast.advice import does_not_fit
from outlast.core.status import RunStatus
from outlast.errors import Problem, RunNotFoundError, ScheduleNotFoundError
from outlast.shown import listed, shown

FITTING = {
    "resume": {RunStatus.SUSPENDED},
    "step": {RunStatus.PAUSED},
    "restart": {RunStatus.FAILED, RunStatus.CANCELED},
    "time travel": {each for each in RunStatus if each.is_rest},
    "unwrap the result": {each for each in RunStatus if each.is_terminal or each is RunStatus.SUSPENDED},
}


@pytest.mark.parametrize(
    ("verb", "status"),
    [(verb, status) for verb, fitting in FITTING.items() for status in RunStatus if status not in fitting],
)
def test_every_verb_says_what_fits_the_status(verb: str, status: RunStatus):
    error = does_not_fit("r", verb, status)

    assert error.advice
    assert str(error) == f"run r: cannot {verb} while the run is {status}: {error.advice}"
    if status.is_terminal:
        assert "wait until" not in error.advice


def test_names_as_long_as_ids_are_repeated_whole():
    assert shown("x" * 200) == "x" * 200
    assert shown("x" * 201) == "x" * 60 + "... (201 characters)"


@pytest.mark.parametrize(
    "error", [RunNotFoundError("x" * 10**6), ScheduleNotFoundError("x" * 10**6), Problem("x" * 10**6, "is wrong")]
)
def test_messages_do_not_repeat_a_megabyte(error: object):
    assert len(str(error)) < 300


def test_lists_of_names_are_bounded():
    assert listed(["a", "b"]) == "a, b"
    assert listed(["n"] * 1_010).endswith("n, n and 1,000 more")
