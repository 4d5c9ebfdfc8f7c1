"""Links between pages lead somewhere, and the index leads to all pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]+\]\((?!https?://)(?P<path>[^)#]*)(#(?P<anchor>[^)]+))?\)")


def anchors_of(page: Path) -> Iterator[str]:
    for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)

    for link in LINK.finditer(text):
        target = (page.parent / link["path"]).resolve() if link["path"] else page

        assert target.exists(), f"{link[0]} leads nowhere"
        assert not link["anchor"] or link["anchor"] in anchors_of(target), f"{link[0]} has no such heading"


def test_index_leads_to_every_page():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link["path"]).resolve() for link in LINK.finditer(index.read_text())}

    assert {ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")} - {index} <= linked


def test_design_notes_are_numbered_without_gaps():
    notes = sorted((ROOT / "docs" / "design").glob("*.md"))

    assert [int(note.name[:4]) for note in notes] == list(range(1, len(notes) + 1))
    assert all(note.read_text().startswith(f"# {note.name[:4]}: ") for note in notes)
