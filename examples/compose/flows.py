"""What the containers run: one module for the web process and the workers."""

from __future__ import annotations

from outlast import Outlast, Workflow, step


@step
async def greet(name: str) -> str:
    return f"hello {name}"


hello = Workflow("hello", input=str, output=str).then(greet).commit()
app = Outlast([hello], store="/data/outlast.db")
