"""A workflow to serve: `outlast serve examples/letters.py`, then call it with curl as the README shows."""

from __future__ import annotations

from outlast import Outlast, StepContext, Workflow, step


@step
async def find_readers(issue: str) -> list[str]:
    return [f"{name}+{issue.lower()}@example.org" for name in ("ada", "edsger", "grace")]


@step(retries=3)
async def send(address: str, ctx: StepContext) -> str:
    return f"{await ctx.get_init_data()} to {address}"


letter = Workflow("letter", input=str, output=list[str]).then(find_readers).foreach(send, concurrency=2).commit()
app = Outlast([letter], store="served.db")
