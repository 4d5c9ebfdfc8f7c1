"""Templates: text with `${...}` in it."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from outlast.immutable import immutable

__all__ = ["Hole", "TemplatePart", "split_template", "why_malformed"]


@immutable
class Hole:
    """A place in a template that a value is put into."""

    text: str
    """What stands between the braces."""


TemplatePart: TypeAlias = str | Hole
"""Literal text, or a place for a value."""

_HOLE: Final = re.compile(r"\$\{([^}]*)\}")


def split_template(text: str) -> tuple[TemplatePart, ...]:
    """Cut a template into its parts. A `$` without a brace, and a `${` that is never closed, are literal text."""
    parts: list[TemplatePart] = []
    for index, piece in enumerate(_HOLE.split(text)):
        if index % 2:
            parts.append(Hole(piece))
        elif piece:
            parts.append(piece)
    return tuple(parts)


def why_malformed(text: str) -> list[str]:
    """Return what is wrong with the braces of a template, whatever they name."""
    problems: list[str] = []
    for part in split_template(text):
        if isinstance(part, str):
            if "${" in part:
                problems.append(f"'{_shown(part[part.index('${') :])}' is never closed; add a '}}'")
        elif not part.text.strip():
            problems.append(f"'${{{part.text}}}' is empty; name a value, as in ${{inputData.name}}")
        elif part.text != part.text.strip():
            problems.append(f"'${{{part.text}}}' is padded with whitespace; write ${{{part.text.strip()}}}")
        elif "${" in part.text:
            problems.append(f"'${{{_shown(part.text)}}}' holds another '${{'; close the first one with a '}}'")
    return problems


def _shown(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:30]}..."  # noqa: PLR2004 - enough to find it
