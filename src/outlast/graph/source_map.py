"""A map of sources as a function: what the engine calls for a map that the graph itself describes (rule 5.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from outlast.graph.context import ReadContext
from outlast.graph.function import Function
from outlast.graph.mapping import MISSING, Missing, evaluate
from outlast.graph.schema import JSON
from outlast.graph.source import Source, steps_of
from outlast.immutable import immutable
from outlast.values import JsonValue, decode

__all__ = ["source_function"]


def source_function(sources: Mapping[str, Source]) -> Function:
    """Return the function that makes the object; it takes the reading context like one that an author wrote."""

    async def read_sources(context: ReadContext[Any]) -> dict[str, JsonValue]:
        results = {step_id: await context.find_raw(step_id) for step_id in steps_of(sources)}
        scope = _Scope(
            input=cast("JsonValue", context.input),
            init=decode(await context.init_raw()),
            state=decode(context.state_raw()),
            request_context=decode(context.request_context_raw()),
            results=results,
        )
        return evaluate(sources, scope)

    return Function(
        call=read_sources,
        is_async=True,
        takes_input=False,
        context_keyword="",
        input=JSON,
        output=JSON,
        reads_recorded=True,
    )


@immutable(kw_only=True)
class _Scope:
    """What the sources read from."""

    input: JsonValue
    init: JsonValue
    state: JsonValue
    request_context: JsonValue
    results: Mapping[str, bytes | None]

    def step(self, step_id: str, /) -> JsonValue | Missing:
        raw = self.results.get(step_id)
        return MISSING if raw is None else decode(raw)
