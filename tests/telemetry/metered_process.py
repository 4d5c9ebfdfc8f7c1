"""A process that exports its numbers over OTLP. Run as a script: store, endpoint, run id, and what it is to do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from outlast import Outlast, StepContext, Workflow, step


@step
async def fetch(n: int) -> int:
    return n + 1


@step
def kill_process(n: int, ctx: StepContext) -> int:
    if not ctx.recovered:
        PROVIDER.force_flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return n + 1


ORDER = Workflow("order", input=int, output=int).then(fetch).then(kill_process).commit()
PROVIDER: MeterProvider


async def main(path: str, run_id: str, verb: str) -> None:
    async with Outlast([ORDER], store=path, durability="normal") as app:  # the provider is the global one
        if verb == "start":
            await (await app.create_run(ORDER, run_id=run_id)).start(input_data=1)
        else:
            await app.run(run_id).result()
        PROVIDER.force_flush()  # while the gauges are there


if __name__ == "__main__":
    store, endpoint, *words = sys.argv[1:]
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"))
    PROVIDER = MeterProvider([reader], resource=Resource({"service.instance.id": words[1]}))
    set_meter_provider(PROVIDER)
    asyncio.run(main(store, *words))
    PROVIDER.shutdown()
