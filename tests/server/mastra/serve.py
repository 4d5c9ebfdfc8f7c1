"""A server for the npm client, in a process of its own; prints its port once it listens."""

from __future__ import annotations

import asyncio
import sys

import uvicorn
from pydantic import BaseModel
from typing_extensions import TypedDict

from outlast import Outlast, Retry, StepContext, Workflow, step
from outlast.server import Token, create_app

SECRETS = {"boss": "secret-of-boss-0123456789", "ada": "secret-of-ada-0123456789", "reader": "secret-of-reader-012345"}
TOKENS = [
    Token.of(SECRETS["boss"], name="boss", scope="admin"),
    Token.of(SECRETS["ada"], name="ada", scope="run", resource_id="ada"),
    Token.of(SECRETS["reader"], name="reader", scope="read"),
]
failures: dict[str, int] = {}


class Order(BaseModel):
    amount: int


class Tally(TypedDict, total=False):
    seen: int


@step
async def prepare(order: Order) -> Order:
    return Order(amount=order.amount + 1)


@step(resume=bool, suspend=dict[str, int])
async def approve(order: Order, ctx: StepContext) -> str:
    if not ctx.resumed:
        ctx.suspend({"amount": order.amount}, label="boss")
    return f"{order.amount}: {'yes' if ctx.resume_data else 'no'}"


@step
async def count(order: Order, ctx: StepContext) -> dict[str, int]:
    ctx.write({"half": order.amount // 2})
    ctx.set_state({"seen": order.amount})
    return {"total": order.amount, "tenant": int(ctx.request_context.get("tenant", 0))}


@step(retries=Retry(limit=2, delay=0.01))
async def shaky(order: Order, ctx: StepContext) -> str:
    """Fail twice, then work."""
    if ctx.attempt < 2:
        raise ConnectionError("not yet")
    return "third time lucky"


@step
async def breaks(order: Order, ctx: StepContext) -> str:
    """Fail in the first execution, and work in the next one."""
    if ctx.execution == 0:
        raise ValueError("no such luck")
    return "mended"


@step
async def ask(item: int, ctx: StepContext) -> int:
    if not ctx.resumed:
        ctx.suspend({"item": item})
    return item * int(str(ctx.resume_data))


APPROVAL = Workflow("approval", input=Order, output=str).then(prepare).then(approve).commit()
COUNT = Workflow("count", input=Order, state=Tally).then(prepare).then(count).commit()
SHAKY = Workflow("shaky", input=Order, output=str).then(shaky).commit()
BREAKS = Workflow("breaks", input=Order, output=str).then(prepare).then(breaks).commit()
NAP = Workflow("nap", input=Order).sleep(60).commit()
EACH = Workflow("each", input=list[int], output=list[int]).foreach(ask, concurrency=3).commit()
OUTER = Workflow("outer", input=Order, output=str).then(prepare).then(APPROVAL.clone(id="inner")).commit()
TWO = Workflow("two", input=int).parallel([ask.clone(id="left"), ask.clone(id="right")]).commit()


async def main() -> None:
    app = Outlast([APPROVAL, COUNT, SHAKY, BREAKS, NAP, EACH, OUTER, TWO], store="memory")
    tokens = TOKENS if "--tokens" in sys.argv else []
    config = uvicorn.Config(create_app(app, tokens=tokens), port=0, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # noqa: TID251 - uvicorn tells nobody when it listens
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201 - for the test
    await serving


if __name__ == "__main__":
    asyncio.run(main())
