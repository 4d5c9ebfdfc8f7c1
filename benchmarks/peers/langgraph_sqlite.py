"""LangGraph with its SQLite saver. A run is a thread, a step a node.

A start is not durable by itself: the invocation is a task of this process. So the workloads that time starts do not
apply.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from benchmarks.subject import Open, Sizes, Subject, System

__all__ = ["LANGGRAPH_SYSTEMS"]

Durability = Literal["sync", "async"]


class Count(TypedDict):
    n: int
    left: int


class Items(TypedDict):
    numbers: list[int]
    mapped: Annotated[list[tuple[int, int]], operator.add]


async def add(count: Count) -> Count:
    return {"n": count["n"] + 1, "left": count["left"] - 1}


async def add_item(item: tuple[int, int]) -> dict[str, list[tuple[int, int]]]:
    place, n = item
    return {"mapped": [(place, n + 1)]}


def loop_graph() -> StateGraph[Any, Any, Any, Any]:
    """One node that comes back to itself as often as there are steps: its cheapest way to say a chain."""
    graph = StateGraph(Count)
    graph.add_node("add", add)
    graph.add_edge(START, "add")
    graph.add_conditional_edges("add", lambda count: "add" if count["left"] else END)
    return graph


def map_graph() -> StateGraph[Any, Any, Any, Any]:
    graph = StateGraph(Items)
    graph.add_node("add_item", add_item)
    graph.add_conditional_edges(START, lambda items: [Send("add_item", item) for item in enumerate(items["numbers"])])
    return graph


class LangGraphStarted:
    def __init__(self, task: asyncio.Task[dict[str, Any]]) -> None:
        self._task = task

    async def result(self) -> int:
        n: int = (await self._task)["n"]
        return n

    async def look_back(self) -> dict[str, float]:
        return {}


class LangGraphSubject:
    def __init__(self, saver: AsyncSqliteSaver, durability: Durability) -> None:
        self._loop = loop_graph().compile(checkpointer=saver)
        self._map = map_graph().compile(checkpointer=saver)
        self._durability: Durability = durability
        self._numbers = count()

    async def start(self, steps: int, n: int) -> LangGraphStarted:
        config = self._config(steps + 1)
        running = self._loop.ainvoke({"n": n, "left": steps}, config, durability=self._durability)
        return LangGraphStarted(asyncio.create_task(running))

    async def map(self, numbers: Sequence[int], width: int) -> list[int]:
        config = self._config(3) | {"max_concurrency": width}
        ended = await self._map.ainvoke({"numbers": list(numbers), "mapped": []}, config, durability=self._durability)
        return [n for _, n in sorted(ended["mapped"])]

    def _config(self, most_steps: int) -> dict[str, Any]:
        thread = f"run-{next(self._numbers)}"
        return {"configurable": {"thread_id": thread}, "recursion_limit": most_steps + 10}


@asynccontextmanager
async def open_langgraph(durability: Durability, synchronous: str, directory: Path, _: Sizes) -> AsyncIterator[Subject]:
    async with aiosqlite.connect(directory / "langgraph.db") as connection:
        saver = AsyncSqliteSaver(connection)
        await saver.setup()  # switches to WAL
        await connection.execute(f"PRAGMA synchronous = {synchronous}")
        yield LangGraphSubject(saver, durability)


LANGGRAPH_SYSTEMS: dict[System, Open] = {
    System(key="langgraph-sync", label="LangGraph, sync", disk="fsync", is_peer=True, times_starts=False): partial(
        open_langgraph, "sync", "full"
    ),
    System(
        key="langgraph-sync-normal", label="LangGraph, sync", disk="no fsync", is_peer=True, times_starts=False
    ): partial(open_langgraph, "sync", "normal"),
    System(
        key="langgraph-async", label="LangGraph, as it comes", disk="later", is_peer=True, times_starts=False
    ): partial(open_langgraph, "async", "full"),
}
