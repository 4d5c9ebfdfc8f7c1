"""Both stores, for every test that asks for a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.place import Place


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "memory":
        return Place("memory", Path())  # what has no file needs no directory
    return Place("sqlite", request.getfixturevalue("tmp_path"))
