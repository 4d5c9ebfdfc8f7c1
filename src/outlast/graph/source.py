"""Sources of a map: where each value of the object that it makes comes from (rule 5.6).

Paths are keys joined by dots, as `order.items.0.sku`: in a list a number is an index, in an object it is a key. The
empty path is the whole value.

A template names values by namespace; each has two spellings, that of the wire form and a short one:

    ${inputData.path}       ${input.path}       what the map gets
    ${initData.path}        ${init.path}        what the workflow got
    ${stepResults.id.path}  ${steps.id.path}    the output of a step
    ${state.path}                               the state
    ${requestContext.key}   ${context.key}      an entry of the request context; the rest is one key, dots and all
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, Protocol, cast

from outlast.errors import DefinitionError
from outlast.graph.step_id import find_step_id
from outlast.graph.template import Hole, split_template
from outlast.immutable import immutable
from outlast.values import InvalidValueError, JsonValue, decode, encode

__all__ = [
    "HasId",
    "Source",
    "SourceKind",
    "from_context",
    "from_init",
    "from_input",
    "from_state",
    "from_step",
    "place_of",
    "source_from_json",
    "source_to_json",
    "steps_of",
    "template",
    "value",
]


class SourceKind(StrEnum):
    """Where a value comes from; written into graphs, so members are never renamed."""

    VALUE = "value"
    """It is a constant."""
    INPUT = "input"
    """From what the map gets: the output of the node before it."""
    INIT = "init"
    """From the input of the workflow in which the map stands."""
    STEP = "step"
    """From the output of a step of that workflow."""
    STATE = "state"
    """From the state."""
    CONTEXT = "context"
    """From the request context."""
    TEMPLATE = "template"
    """It is text with values in it."""


@immutable(kw_only=True)
class Source:
    """Where one value of a map comes from. Made by `value`, `from_input`, `template` and their like."""

    kind: SourceKind
    """The kind of place."""
    steps: tuple[str, ...] = ()
    """Ids of steps: the first that has a result is taken."""
    path: str = ""
    """Path in the value at that place; of the request context, the key."""
    text: str = ""
    """The template, or the constant as JSON."""

    def __str__(self) -> str:
        """Render as its author wrote it."""
        match self.kind:
            case SourceKind.VALUE | SourceKind.TEMPLATE:
                shown = self.text if self.kind is SourceKind.VALUE else repr(self.text)
                return f"{_FUNCTIONS[self.kind]}({shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'})"
            case SourceKind.STEP:
                steps = repr(self.steps[0]) if len(self.steps) == 1 else repr(list(self.steps))
                return f"from_step({steps}{f', {self.path!r}' if self.path else ''})"
            case _:
                return f"{_FUNCTIONS[self.kind]}({repr(self.path) if self.path else ''})"


class HasId(Protocol):
    """A step or a workflow."""

    @property
    def id(self) -> str:
        """Its id."""
        ...


def value(constant: JsonValue) -> Source:
    """Take a constant. It is copied: changing it later changes nothing.

    Raises:
        DefinitionError: It is not JSON.
    """
    try:
        return Source(kind=SourceKind.VALUE, text=encode(constant).decode())
    except InvalidValueError as error:
        raise DefinitionError(f"value(...) of a map must be JSON: {error}") from error


def from_input(path: str = "") -> Source:
    """Take a value from what the map gets: the output of the node before it."""
    return Source(kind=SourceKind.INPUT, path=path)


def from_init(path: str = "") -> Source:
    """Take a value from the input of the workflow."""
    return Source(kind=SourceKind.INIT, path=path)


def from_step(step: HasId | str | Iterable[HasId | str], path: str = "") -> Source:
    """Take a value from the output of a step; of several, from the first in this order that has a result.

    Raises:
        DefinitionError: Something that is neither a step nor an id was given.
    """
    several = not isinstance(step, str) and not hasattr(step, "id") and isinstance(step, Iterable)
    steps = cast("Iterable[HasId | str]", step if several else (step,))
    return Source(kind=SourceKind.STEP, steps=tuple(_id_of(each) for each in steps), path=path)


def from_state(path: str = "") -> Source:
    """Take a value from the state."""
    return Source(kind=SourceKind.STATE, path=path)


def from_context(key: str) -> Source:
    """Take an entry of the request context. A key is one name, also if it has dots in it."""
    return Source(kind=SourceKind.CONTEXT, path=key)


def template(text: str) -> Source:
    """Take text with values in it, as `"Dear ${inputData.name}"`. The head of this module lists the namespaces.

    Text is put in as it is, numbers and booleans as JSON writes them, null as nothing; an object or a list fails the
    node, and so does a path that is not there. A `$` that no brace follows is literal.
    """
    return Source(kind=SourceKind.TEMPLATE, text=text)


def steps_of(sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Return the ids of the steps whose results the sources read, each once, in the order of mention."""
    found: dict[str, None] = {}
    for source in sources.values():
        parts = split_template(source.text) if source.kind is SourceKind.TEMPLATE else ()
        places = [source, *(place_of(part) for part in parts if isinstance(part, Hole))]
        found.update(dict.fromkeys(step for place in places for step in place.steps))
    return tuple(found)


def place_of(hole: Hole) -> Source:
    """Return what a `${...}` of a template names, as the source that takes the same value.

    Raises:
        ValueError: It names no place; `source_check` says so before anything runs.
    """
    namespace, dot, rest = hole.text.partition(".")
    kind = _NAMESPACES.get(namespace)
    if kind is None:
        raise ValueError(f"unknown namespace {namespace!r}{_suggest(namespace, _NAMESPACES)}; {_NAMESPACE_ADVICE}")
    if kind is SourceKind.STEP:
        step, dot, rest = rest.partition(".")
        if not step:
            raise ValueError(f"{namespace} needs a step id, as in {namespace}.fetch.total")
        source = Source(kind=kind, steps=(step,), path=rest)
    else:
        source = Source(kind=kind, path=rest)
    if dot and not rest:
        raise ValueError("it ends with a dot")
    return source


def source_to_json(source: Source) -> dict[str, JsonValue]:
    """Return the source as a JSON object; what is empty is left out."""
    match source.kind:
        case SourceKind.VALUE:
            return {"kind": source.kind.value, "value": decode(source.text.encode())}
        case SourceKind.TEMPLATE:
            return {"kind": source.kind.value, "text": source.text}
        case SourceKind.STEP:
            return {"kind": source.kind.value, "steps": list(source.steps), "path": source.path}
        case _:
            return {"kind": source.kind.value, "path": source.path}


def source_from_json(data: Mapping[str, JsonValue]) -> Source:
    """Return the source that `source_to_json` wrote.

    Raises:
        ValueError: It is of a kind that only a newer version knows; leave the run to a worker that does.
    """
    kind = SourceKind(str(data.get("kind")))
    constant = kind is SourceKind.VALUE
    return Source(
        kind=kind,
        steps=tuple(cast("list[str]", data.get("steps", []))),
        path=cast("str", data.get("path", "")),
        text=encode(data.get("value")).decode() if constant else cast("str", data.get("text", "")),
    )


_FUNCTIONS: Final[Mapping[SourceKind, str]] = {
    SourceKind.VALUE: "value",
    SourceKind.INPUT: "from_input",
    SourceKind.INIT: "from_init",
    SourceKind.STEP: "from_step",
    SourceKind.STATE: "from_state",
    SourceKind.CONTEXT: "from_context",
    SourceKind.TEMPLATE: "template",
}
_NAMESPACES: Final[Mapping[str, SourceKind]] = {
    "inputData": SourceKind.INPUT,
    "input": SourceKind.INPUT,
    "initData": SourceKind.INIT,
    "init": SourceKind.INIT,
    "stepResults": SourceKind.STEP,
    "steps": SourceKind.STEP,
    "state": SourceKind.STATE,
    "requestContext": SourceKind.CONTEXT,
    "context": SourceKind.CONTEXT,
}
_SHOWN: Final = 60
"""How many characters of a constant or a template a message shows."""
_NAMESPACE_ADVICE: Final = "there are input, init, steps, state and context"


def _id_of(step: HasId | str) -> str:
    step_id = find_step_id(step)
    if step_id is None:
        raise DefinitionError(f"from_step takes steps or their ids, not {step!r:.60}")
    return step_id


def _suggest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f", did you mean '{near[0]}'?" if near else ""
