"""The Python source of functions, for people who look at a graph."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Iterator
from functools import lru_cache
from textwrap import dedent
from types import CodeType
from typing import Any, Final, TypeAlias

__all__ = ["source_of"]

_MAX_CHARACTERS: Final = 1_000
_Definition: TypeAlias = ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef


def source_of(function: Callable[..., Any]) -> str:
    """Return the source of a function, cut at 1,000 characters; its qualified name if there is no source to read."""
    code = getattr(function, "__code__", None)
    text = _text_of(code) if isinstance(code, CodeType) else None
    if text is None:
        named = function if hasattr(function, "__qualname__") else type(function)
        return f"{named.__module__}:{named.__qualname__}"
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."


def _text_of(code: CodeType) -> str | None:
    """Find the definition that was compiled to this code: of several lambdas on one line, by its columns."""
    parsed = _parse(code.co_filename)
    if parsed is None:
        return None
    text, definitions = parsed
    here = [each for each in definitions if _first_line(each) == code.co_firstlineno]
    found = next((each for each in here if _encloses(each, code)), None)
    segment = None if found is None else ast.get_source_segment(text, found, padded=True)
    return None if segment is None else dedent(segment).strip()


@lru_cache(maxsize=64)
def _parse(filename: str) -> tuple[str, list[_Definition]] | None:
    text = "".join(linecache.getlines(filename))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # no Python file, or one that was changed since it was imported
        return None
    return (text, list(_definitions(tree))) if text else None


def _definitions(tree: ast.AST) -> Iterator[_Definition]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _first_line(node: _Definition) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min(node.lineno, *(each.lineno for each in decorators)) if decorators else node.lineno


def _encloses(node: _Definition, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda) != (code.co_name == "<lambda>") or len(node.args.args) != code.co_argcount:
        return False
    if not isinstance(node, ast.Lambda):
        return node.name == code.co_name
    end = (node.body.end_lineno, node.body.end_col_offset)
    return any((last_line, last_column) == end for _, last_line, _, last_column in code.co_positions())
