"""How a fault that lasts is told of: at once, at growing intervals, and when it is over."""

from __future__ import annotations

from itertools import pairwise

import pytest

from outlast.engines.local.complaint import Complaint

FAULT = OSError("the disk is away")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_fault_is_told_at_growing_intervals(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    complaint = Complaint(lambda: now)
    told: list[float] = []
    while now < 3_600:
        count = len(caplog.records)
        complaint.note(FAULT)
        if len(caplog.records) > count:
            told.append(now)
        now += 0.25

    assert told[:5] == [0, 5, 15, 35, 75]
    assert [later - sooner for sooner, later in pairwise(told)][-2:] == [600, 600]
    assert messages(caplog)[1] == "the store has not answered for 5 s, 21 tries: the disk is away"


def test_end_is_told_once_and_only_after_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    complaint = Complaint(lambda: now)

    complaint.end()
    complaint.note(FAULT)
    now = 2.5
    complaint.end()
    complaint.end()
    complaint.note(FAULT)

    assert messages(caplog) == [
        "the store did not answer, trying again: the disk is away",
        "the store answers again, after 2.5 s",
        "the store did not answer, trying again: the disk is away",
    ]
