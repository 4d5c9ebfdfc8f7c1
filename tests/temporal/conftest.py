"""A place on the Temporal server for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from temporal.place import Place
from temporal_server import TemporalServer


@pytest.fixture
def place(temporal_server: TemporalServer, tmp_path: Path) -> Iterator[Place]:
    place = Place(temporal_server, tmp_path)
    yield place
    place.close()
