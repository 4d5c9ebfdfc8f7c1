"""A process whose runs are traced over OTLP. Run as a script: store, endpoint, run id, and what it is to do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from outlast import Outlast, StepContext, TracingOptions, Workflow, step


@step
async def fetch(n: int) -> int:
    return n + 1


@step
async def kill_process(n: int, ctx: StepContext) -> int:
    if not ctx.recovered:
        os.kill(os.getpid(), signal.SIGKILL)
    return n + 1


@step(resume=bool)
async def approve(n: int, ctx: StepContext) -> int:
    if not ctx.resumed:
        ctx.suspend("please")
    return n


@step
async def settle(n: int) -> int:
    return n


INNER = Workflow("inner", input=int, output=int).then(kill_process).then(approve).commit()
ORDER = Workflow("order", input=int, output=int).then(fetch).then(INNER).then(settle).commit()


async def main(path: str, endpoint: str, run_id: str, verb: str) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    async with Outlast([ORDER], store=path, durability="normal", tracing=provider) as app:
        if verb == "start":
            options = TracingOptions(trace_id="feed", parent_span_id="7", metadata={"tenant": "acme"})
            await (await app.create_run(ORDER, run_id=run_id)).start(input_data=1, tracing_options=options)
        elif verb == "recover":
            await app.run(run_id).result()
        else:
            await app.run(run_id).resume(resume_data=True)
    provider.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
