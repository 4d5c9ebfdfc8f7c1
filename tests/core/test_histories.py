"""Journals of every version so far: each later version must read them and say the same.

A new feature adds a history with `record_histories.py`. One that is there is never changed: stores are full of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.history import FILES, record_from_json, replay
from core.record_histories import SCENARIOS
from outlast.core.codec import EVENT_VERSIONS


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_journal_says_what_it_said_when_it_was_recorded(file: Path):
    history = json.loads(file.read_text())

    then = replay(history["graph"], [record_from_json(record) for record in history["records"]])

    assert then == history["then"]


def test_every_scenario_is_recorded():
    assert {file.stem for file in FILES} >= set(SCENARIOS)


def test_every_event_in_its_present_version_is_in_a_journal():
    found = {
        (record["type"], record["version"]) for file in FILES for record in json.loads(file.read_text())["records"]
    }

    assert found >= set(EVENT_VERSIONS.items())
