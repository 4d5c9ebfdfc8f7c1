"""What clients ask of the server: each request is a way there and back, and work for it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from temporalio.client import Client, Interceptor, OutboundInterceptor

from outlast import Outlast, Workflow, step
from outlast.engines.temporal import TemporalEngine
from temporal.place import Place

pytestmark = pytest.mark.slow


@step
async def add_one(x: Any) -> Any:
    return x + 1


CHAIN = Workflow("chain").then(add_one).then(add_one.clone(id="again")).commit()


class Counting(Interceptor):
    """Counts what this client asks."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - its name there
        asked = self.asked

        class Outbound(OutboundInterceptor):
            def fetch_workflow_history_events(self, input: Any) -> Any:
                asked["wait" if input.wait_new_event else "read"] += 1
                return super().fetch_workflow_history_events(input)

        return Outbound(next)


async def test_a_run_that_has_ended_is_awaited_and_read_with_one_request_each(place: Place) -> None:
    counting = Counting()
    client = await Client.connect(place.server.address, interceptors=[counting])
    engine = TemporalEngine(client, task_queue=place.name, prefix=f"{place.name}-")
    async with Outlast([CHAIN], engine=engine) as app:
        run = await app.create_run(CHAIN, run_id="run")
        await run.start(input_data=0)
        counting.asked.clear()
        result = await app.run("run").result()

    assert result.result == 2
    assert counting.asked == {"wait": 1, "read": 1}
