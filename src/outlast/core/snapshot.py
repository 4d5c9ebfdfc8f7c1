"""The state of a run as JSON and back: where another process, or another workflow of Temporal, goes on.

A snapshot is not the truth, and not kept: it spares whoever goes on the journal before it. It holds no user's values,
only references; `seqs_in` tells which events must come along. Fields are stored in the order of their declaration, so
that of a frame or command stays as it is: snapshots are recorded in the histories of Temporal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final, cast

from outlast.core.commands import (
    AwaitDeadline,
    AwaitResume,
    AwaitStep,
    Cause,
    CloseBlock,
    Command,
    Evaluate,
    FinishRun,
    OpenBlock,
    Pause,
    Resumption,
    RunHook,
    RunMap,
    RunStep,
    Sleep,
    StartTimer,
    Suspend,
)
from outlast.core.frames import ForeachFrame, Frame, GroupFrame, LeafFrame, LoopFrame, Parent, PauseFrame, ScopeFrame
from outlast.core.ref import Constant, DictOf, Item, ListOf, Recorded, seqs_of
from outlast.core.seed_codec import (
    ref_from_json,
    ref_to_json,
    resumption_from_json,
    resumption_to_json,
    seed_from_json,
    seed_to_json,
)
from outlast.core.state import RunState
from outlast.failures import failure_from_json, failure_to_json
from outlast.graph.nodes import Graph, Node
from outlast.values import JsonValue

__all__ = ["seqs_in", "state_from_json", "state_to_json"]

_FRAMES: Final[Mapping[str, type[Frame]]] = {
    each.__name__: each for each in (LeafFrame, PauseFrame, ScopeFrame, ForeachFrame, GroupFrame, LoopFrame)
}
_COMMANDS: Final[Mapping[str, type[Command]]] = {
    each.__name__: each
    for each in (
        RunStep,
        RunMap,
        RunHook,
        Evaluate,
        OpenBlock,
        CloseBlock,
        StartTimer,
        Sleep,
        Suspend,
        AwaitResume,
        AwaitDeadline,
        Pause,
        AwaitStep,
        FinishRun,
    )
}
_DERIVED: Final = frozenset({"node", "parent"})
"""Fields of frames that their place in the graph tells."""
_PLAIN: Final = ("last_seq", "last_at_ms", "to_begin_since", "is_canceling", "has_told_start", "crashes", "execution")


def state_to_json(state: RunState) -> dict[str, JsonValue]:
    """Return the state between two events, of a run that has started and not ended."""
    stored: dict[str, JsonValue] = {name: getattr(state, name) for name in _PLAIN}
    stored["is_stepping"] = state.is_stepping
    stored["data"] = dict(state.data)
    stored["ending"] = _to_json(state.ending)
    stored["seed"] = None if state.seed is None else seed_to_json(state.seed)
    stored["frames"] = [_frame_to_json(frame) for frame in state.frames.values()]
    stored["open"] = [
        [type(command).__name__, *(_to_json(getattr(command, each.name)) for each in fields(command))]
        for command in state.open.values()
    ]
    return stored


def state_from_json(graph: Graph, stored: Mapping[str, JsonValue]) -> RunState:
    """Return the state of a snapshot; the graph must be the one that it was made on."""
    state = RunState(graph)
    for name in (*_PLAIN, "is_stepping"):
        setattr(state, name, stored[name])
    state.data = cast("dict[str, JsonValue]", stored["data"])
    state.ending = cast("Cause | None", _from_json(stored["ending"]))
    state.seed = None if stored["seed"] is None else seed_from_json(stored["seed"])
    for each in cast("list[list[JsonValue]]", stored["frames"]):
        _add_frame(state, each)
    for kind, *values in cast("list[list[JsonValue]]", stored["open"]):
        make = cast("Any", _COMMANDS[str(kind)])
        state.issue(make(*(_from_json(value) for value in values)))
    state.issued.clear()
    return state


def seqs_in(state: RunState) -> list[int]:
    """Return the events whose payloads the run may still need, in order."""
    found: dict[int, None] = {}
    for each in (*state.frames.values(), *state.open.values()):
        for field in fields(each):
            if field.name not in _DERIVED:
                found.update(dict.fromkeys(_seqs_of(getattr(each, field.name))))
    if state.seed is not None:
        refs = [*state.seed.kept.values(), *state.seed.inputs.values(), *state.seed.resumptions.values()]
        found.update(dict.fromkeys(seq for ref in refs for seq in _seqs_of(ref)))
    return sorted(found)


def _frame_to_json(frame: Frame) -> JsonValue:
    parent = None if frame.parent is None else frame.parent.path
    values = (_to_json(getattr(frame, each.name)) for each in fields(frame) if each.name not in _DERIVED)
    return [type(frame).__name__, parent, *values]


def _add_frame(state: RunState, stored: list[JsonValue]) -> None:
    """Make a frame; those around it are there already, because they began before it."""
    kind, parent_path, *values = stored
    make = _FRAMES[str(kind)]
    names = [each.name for each in fields(make) if each.name not in _DERIVED]
    known = {name: _from_json(value) for name, value in zip(names, values, strict=True)}
    parent = None if parent_path is None else cast("Parent", state.frames[str(parent_path)])
    node = state.graph.root if parent is None else _node_in(parent, cast("int", known["slot"]))
    frame = cast("Any", make)(node=node, parent=parent, **known)
    state.frames[frame.path] = frame
    if isinstance(frame, ScopeFrame) and parent is None:
        state.root = frame


def _node_in(parent: Parent, slot: int) -> Node:
    match parent:
        case ScopeFrame():
            return parent.node.nodes[slot]
        case GroupFrame():
            return parent.node.children[slot]
        case ForeachFrame() | LoopFrame():
            return parent.node.body


def _to_json(value: object) -> JsonValue:
    """Return a field's stored form: what JSON does not tell apart is an object of one key that names it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Recorded() | Item() | ListOf() | DictOf() | Constant():
            return {"ref": ref_to_json(value)}
        case Cause():
            return {"cause": [value.path, failure_to_json(value.failure)]}
        case Resumption():
            return {"resumption": resumption_to_json(value)}
        case list():
            return {"list": [_to_json(each) for each in cast("list[object]", value)]}
        case dict():
            return {"map": {key: _to_json(each) for key, each in cast("dict[str, object]", value).items()}}
        case _:
            message = f"a state cannot hold {value!r}"
            raise TypeError(message)


def _from_json(stored: JsonValue) -> object:
    if not isinstance(stored, dict):
        return stored
    ((kind, inner),) = stored.items()
    match kind, inner:
        case "ref", _:
            return ref_from_json(inner)
        case "cause", [str(path), dict(failure)]:
            return Cause(path, failure_from_json(failure))
        case "resumption", _:
            return resumption_from_json(inner)
        case "list", list():
            return [_from_json(each) for each in inner]
        case "map", dict():
            return {key: _from_json(each) for key, each in inner.items()}
        case _:
            message = f"'{kind}' is no part of a snapshot"
            raise ValueError(message)


def _seqs_of(value: object) -> Iterator[int]:
    match value:
        case Recorded() | Item() | ListOf() | DictOf() | Constant():
            yield from seqs_of(value)
        case Resumption(suspend_payload=payload, resume_data=data):
            yield from seqs_of(payload)
            if data is not None:
                yield from seqs_of(data)
        case list():
            for each in cast("list[object]", value):
                yield from _seqs_of(each)
        case dict():
            for each in cast("dict[str, object]", value).values():
                yield from _seqs_of(each)
        case _:
            return
