"""The events page has one line for each event that a journal can hold, and for no other."""

from __future__ import annotations

import re
from pathlib import Path

from outlast.core.codec import EVENT_VERSIONS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text()


def test_every_event_has_one_line():
    documented = re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)

    assert sorted(documented) == sorted(EVENT_VERSIONS)
