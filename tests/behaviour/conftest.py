"""The engines that run the behaviour suite: the local one over both stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from behaviour.bench import Bench


@pytest.fixture(params=["memory", "sqlite"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(request.param, tmp_path)
