"""The census as a workflow: find the modules of a library, parse each of them, add up.

What is recorded stays small: paths and counts go from step to step, never the text of a file.
"""

from __future__ import annotations

import ast
import asyncio
import logging
from pathlib import Path

from pydantic import BaseModel

from outlast import Workflow, step

CONCURRENCY = 8
"""How many modules are parsed at a time, and so how many at most are parsed again after a crash."""

_NOT_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
_log = logging.getLogger("census")


class Module(BaseModel):
    """What is counted in one module."""

    file: str
    lines: int
    functions: int
    classes: int


class Report(BaseModel):
    """What is counted in all modules."""

    modules: int
    lines: int
    functions: int
    classes: int
    largest: list[Module]


@step
async def find_modules(library: str) -> list[str]:
    """List the modules below a folder, without test suites. An async step runs on the event loop and must not block."""
    return await asyncio.to_thread(_list_files, Path(library))


def _list_files(root: Path) -> list[str]:
    files = sorted(root.rglob("*.py"))
    return [str(file) for file in files if _NOT_THE_LIBRARY.isdisjoint(file.relative_to(root).parts)]


@step(retries=2)
def parse_module(file: str) -> Module:
    """Count what is in one module. A sync step runs in a thread and may take its time."""
    _log.info("%s", file)
    source = Path(file).read_bytes()
    nodes = list(ast.walk(ast.parse(source, file)))
    return Module(
        file=file,
        lines=len(source.splitlines()),
        functions=sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
    )


@step
def add_up(modules: list[Module]) -> Report:
    """Combine the counts."""
    return Report(
        modules=len(modules),
        lines=sum(module.lines for module in modules),
        functions=sum(module.functions for module in modules),
        classes=sum(module.classes for module in modules),
        largest=sorted(modules, key=lambda module: (-module.lines, module.file))[:10],
    )


census = (
    Workflow("census", input=str, output=Report)
    .then(find_modules)
    .foreach(parse_module, concurrency=CONCURRENCY)
    .then(add_up)
    .commit()
)
