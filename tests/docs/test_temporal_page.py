"""The page on Temporal says what that engine lacks, in the words of its errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.engines.capability import Capability
from outlast.engines.temporal.lacks import LACKS

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "temporal.md").read_text()


@pytest.mark.parametrize("capability", list(LACKS))
def test_lacking_capability_is_told_with_what_to_do_instead(capability: Capability):
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{capability}`:"))

    assert row.endswith(f"| {LACKS[capability]} |")


def test_only_what_is_lacking_is_told():
    assert PAGE.count("| `") == len(LACKS)
