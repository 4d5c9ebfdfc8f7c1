"""Short-lived programs end in good order, whatever threads of the SDK still run."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from temporal.place import Place
from temporal.scenarios import SCENARIOS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TESTS = Path(__file__).resolve().parents[1]


async def test_client_exits_cleanly_fifty_times_of_fifty(place: Place) -> None:
    places = asyncio.Semaphore(2)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}

    async def once() -> int:
        async with places:
            command = [sys.executable, "-m", "temporal.client_process", place.server.address, place.name]
            process = await asyncio.create_subprocess_exec(*command, env=environment)
            return await process.wait()

    async with place.app(SCENARIOS["one"], lease=30):
        codes = await asyncio.gather(*(once() for _ in range(50)))

    assert codes == [0] * 50
