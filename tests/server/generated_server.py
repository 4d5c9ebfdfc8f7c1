"""A server for generated requests, in a process of its own: nothing on it takes long. Prints its port."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import uvicorn

from outlast import Outlast
from outlast.server import ServerOptions, create_app
from server.site import APPROVAL, GREET


async def main() -> None:
    moment = timedelta(milliseconds=20)
    options = ServerOptions(answer_timeout=moment, poll_timeout=moment, max_body_bytes=10_000)
    async with Outlast([GREET, APPROVAL], store="memory") as app:
        for workflow in (GREET, APPROVAL):
            await (await app.create_run(workflow, run_id=f"a-{workflow.id}")).start(input_data="ada")
        server = uvicorn.Server(uvicorn.Config(create_app(app, options=options), port=0, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody when it listens
            await asyncio.sleep(0.01)  # noqa: TID251 - as above
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201 - for the test
        await serving


if __name__ == "__main__":
    asyncio.run(main())
