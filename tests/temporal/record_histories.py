"""Writes the recorded histories that are missing, and changes none: `python -m temporal.record_histories` in `tests`.

A history that is there was written by some version of Outlast, and each later one must be able to replay it. To add
one: add a scenario, run this, commit the file.
"""

# ruff: noqa: T201 - it talks to a person

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from temporalio.client import Client

from outlast import Outlast
from outlast.engines.temporal import TemporalEngine
from temporal.scenarios import INPUTS, LEFT, RESTARTED, RESUMED, SCENARIOS, TRAVELLED
from temporal_server import TemporalServer, running_server

HISTORIES = Path(__file__).parent / "histories"


async def play(server: TemporalServer, name: str, *, prefix: str = "") -> Any:
    """Run a scenario to its end and return the history of its workflow."""
    workflow = SCENARIOS[name]
    engine = TemporalEngine(server.address, task_queue=f"{prefix}{name}", prefix=prefix)
    async with Outlast([workflow], engine=engine) as app:
        run = await app.create_run(workflow, run_id=name)
        await run.start(input_data=INPUTS.get(name, 1))
        if name in RESUMED:
            await app.run(name).resume_async(7)
        if name in TRAVELLED:
            await app.run(name).time_travel_async("ask", resume_data=7)
        if name in RESTARTED:
            await app.run(name).restart_async()
        result = await app.run(name).result(timeout=20, until="end")
        assert result.status.is_terminal, result
    client = await Client.connect(server.address)
    handle = client.get_workflow_handle(prefix + name)
    if name in LEFT:
        first = (await handle.describe()).raw_info.first_run_id
        handle = client.get_workflow_handle(prefix + name, run_id=first)
    return await handle.fetch_history()


def without_traces(history: str) -> str:
    """Leave out stack traces, which name the machine and play no part in a replay."""
    return json.dumps(json.loads(history, object_hook=_without_trace), indent=2)


def _without_trace(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "stackTrace"}


def main() -> None:
    HISTORIES.mkdir(exist_ok=True)
    missing = [name for name in SCENARIOS if not (HISTORIES / f"{name}.json").exists()]
    with TemporaryDirectory() as directory, running_server(Path(directory)) as server:
        for name in missing:
            history = asyncio.run(play(server, name))
            (HISTORIES / f"{name}.json").write_text(without_traces(history.to_json()) + "\n")
            print(f"{name}: {len(history.events)} events")


if __name__ == "__main__":
    sys.exit(main())
