"""What can be imported from `outlast` is mentioned in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import outlast

DOCS = Path(__file__).parents[2] / "docs"
WORDS = {word for page in DOCS.rglob("*.md") for word in re.findall(r"\w+", page.read_text())}


@pytest.mark.parametrize("name", outlast.__all__)
def test_public_name_is_documented(name: str):
    assert name in WORDS, f"{name} is public, but no page below docs/ mentions it"
