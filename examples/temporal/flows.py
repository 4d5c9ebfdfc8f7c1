"""What the containers run: one module for the web process and the workers."""

from __future__ import annotations

import os

from outlast import Outlast, Workflow, step
from outlast.engines.temporal import TemporalEngine


@step
async def greet(name: str) -> str:
    return f"hello {name}"


hello = Workflow("hello", input=str, output=str).then(greet).commit()
app = Outlast([hello], engine=TemporalEngine(os.environ["TEMPORAL_ADDRESS"], task_queue="hello"))
