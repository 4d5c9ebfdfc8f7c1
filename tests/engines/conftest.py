"""Both stores, for every test that asks for a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.place import Place


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)
