"""With what a run goes on in another workflow: its state, and the recorded values that it may still need."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

from outlast.core.record import Record
from outlast.core.snapshot import seqs_in, state_from_json, state_to_json
from outlast.core.state import RunState
from outlast.engines.temporal.packing import pack, unpack
from outlast.graph.nodes import Graph
from outlast.immutable import immutable
from outlast.values import JsonValue

__all__ = ["Moved", "pack_snapshot", "unpack_snapshot"]


@immutable
class Moved:
    """A run as another workflow takes it over."""

    state: RunState
    """Its state."""
    request_context: bytes
    """What callers tell all steps."""
    created_at_ms: int
    """When it was started."""
    told_until: int
    """The last event whose spans were told."""
    head: int
    """The last event of its journal."""
    said: int
    """How many events its bodies have said."""
    payloads: Mapping[int, bytes]
    """Recorded values, by the events that carry them."""


def pack_snapshot(moved: Moved, *, without: Collection[int] = ()) -> bytes:
    """Return the part of a message that says where to go on.

    Args:
        moved: The run, with at least the values that it may still need.
        without: Events whose values travel in another way.
    """
    seqs = [seq for seq in seqs_in(moved.state) if seq in moved.payloads and seq not in without]
    header: dict[str, JsonValue] = {
        "state": state_to_json(moved.state),
        "seqs": cast("list[JsonValue]", seqs),
        "created_at_ms": moved.created_at_ms,
        "told_until": moved.told_until,
    }
    if moved.said:
        header |= {"head": moved.head, "said": moved.said}
    return pack(header, moved.request_context, *(moved.payloads[seq] for seq in seqs))


def unpack_snapshot(graph: Graph, snapshot: bytes, opening: Sequence[Record] = ()) -> Moved:
    """Return what `pack_snapshot` was given; the graph must be the same.

    Args:
        graph: The graph of the run.
        snapshot: The part of the message.
        opening: The events whose values traveled in another way.
    """
    header, (request_context, *payloads) = unpack(snapshot)
    state = state_from_json(graph, cast("dict[str, JsonValue]", header["state"]))
    return Moved(
        state,
        request_context,
        cast("int", header["created_at_ms"]),
        cast("int", header.get("told_until", 0)),
        cast("int", header.get("head", state.last_seq)),
        cast("int", header.get("said", 0)),
        {
            **dict(zip(cast("list[int]", header["seqs"]), payloads, strict=True)),
            **{each.seq: each.payload for each in opening if each.payload is not None},
        },
    )
