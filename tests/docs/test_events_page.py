"""The pages of events have a line for each event that a journal can hold, or a reader be told, and for no other."""

from __future__ import annotations

import re
from pathlib import Path

from outlast.core import projection
from outlast.core.codec import EVENT_VERSIONS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def documented(page: str) -> list[str]:
    return re.findall(r"^\| `([a-z-]+)` \|", (REFERENCE / page).read_text(), re.MULTILINE)


def test_every_event_has_one_line():
    assert sorted(documented("events.md")) == sorted(EVENT_VERSIONS)


def test_every_public_event_has_a_line():
    """14.1: the public names."""
    told = re.findall(r'"(workflow-[a-z-]+)"', Path(str(projection.__file__)).read_text())

    assert set(documented("stream-events.md")) == set(told)
