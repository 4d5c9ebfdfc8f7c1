"""What can be told of the sources of a map before anything runs (rule 1.3)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Final, cast

from outlast.graph.source import Source, SourceKind, place_of
from outlast.graph.template import Hole, split_template, why_malformed
from outlast.values import kind_of

__all__ = ["check_sources"]

_BRACKETS: Final = re.compile(r"\[(\d+)\]")


def check_sources(sources: Mapping[str, object], known_steps: Collection[str]) -> list[str]:
    """Return what is wrong with the sources of a map, for its author; nothing if all is well.

    Args:
        sources: What was given to `map`, not yet known to be sources.
        known_steps: Ids of the nodes whose results can be there.
    """
    if not sources:
        return ["a map of no keys makes nothing; name at least one"]
    problems: list[str] = []
    for key, source in sources.items():
        if not isinstance(cast("object", key), str):
            problems.append(f"map key {key!r} is {kind_of(key)}; keys are strings in JSON")
        elif not isinstance(source, Source):
            problems.append(f"map key '{key}': {kind_of(source)} is not a source; wrap a constant in value(...)")
        else:
            problems.extend(f"map key '{key}': {problem}" for problem in _problems(source, known_steps))
    return problems


def _problems(source: Source, known_steps: Collection[str]) -> list[str]:
    """Return what is wrong with one source, without its key."""
    match source.kind:
        case SourceKind.VALUE:
            return []
        case SourceKind.TEMPLATE:
            return _template_problems(source.text, known_steps)
        case _:
            return [f"{source}: {problem}" for problem in _place_problems(source, known_steps)]


def _template_problems(text: str, known_steps: Collection[str]) -> list[str]:
    if not isinstance(cast("object", text), str):
        return [f"a template is text, this is {kind_of(text)}"]
    problems = why_malformed(text)
    if problems:
        return problems
    for hole in split_template(text):
        if isinstance(hole, Hole):
            try:
                found = _place_problems(place_of(hole), known_steps)
            except ValueError as error:
                found = [str(error)]
            problems.extend(f"'${{{hole.text}}}': {problem}" for problem in found)
    return problems


def _place_problems(source: Source, known_steps: Collection[str]) -> list[str]:
    """Return what is wrong with a place that a value is taken from."""
    if not isinstance(cast("object", source.path), str):
        return [f"a path is text, this is {kind_of(source.path)}"]
    if source.kind is SourceKind.CONTEXT:
        return _key_problems(source.path)
    problems = [
        f"no step '{step}' comes before this map{_suggest(step, known_steps)}"
        for step in source.steps
        if step not in known_steps
    ]
    if source.kind is SourceKind.STEP and not source.steps:
        problems.append("it names no step")
    return problems + _path_problems(source.path)


def _key_problems(key: str) -> list[str]:
    if not key.strip():
        return ["it names no entry of the request context"]
    return [f"key {key!r} is padded with whitespace"] if key != key.strip() else []


def _path_problems(path: str) -> list[str]:
    if not path:
        return []
    segments = path.split(".")
    if not all(segments):
        return [f"path {path!r} has an empty part; write keys joined by single dots"]
    if any(segment != segment.strip() for segment in segments):
        return [f"path {path!r} is padded with whitespace"]
    if _BRACKETS.search(path):
        return [f"path {path!r} has an index in brackets; write '{_BRACKETS.sub(_dotted, path).lstrip('.')}'"]
    return []


def _dotted(index: re.Match[str]) -> str:
    return f".{index[1]}"


def _suggest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f", did you mean '{near[0]}'?" if near else ""
