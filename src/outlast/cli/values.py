"""What is typed on a command line, as values: JSON, lengths of time, moments."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.errors import InputError
from outlast.graph.schema import Schema
from outlast.values import InvalidValueError, JsonValue, encode

__all__ = ["decode_as", "parse_json", "parse_moment", "parse_object", "parse_past", "parse_span"]

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "": 1}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)")


def parse_json(text: str, option: str) -> JsonValue:
    """Return the value of an option that takes JSON, a file (`@file.json`) or stdin (`-`).

    Raises:
        Complaint: It is not JSON, or the file cannot be read.
    """
    source = option
    if text == "-":
        text, source = sys.stdin.read(), "stdin"
    elif text.startswith("@"):
        source = text[1:]
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise Complaint(f"{option}: cannot read {source}: {reason}", exit=Exit.NOT_FOUND) from None
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        hint = f"a text stands in quotes of its own: {option} '\"text\"'; from a file: {option} @file.json"
        raise Complaint(f"{source} is not JSON: {error}", hint=hint, exit=Exit.INVALID, code="not-json") from None
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def parse_object(text: str | None, option: str) -> dict[str, JsonValue] | None:
    """Return the value of an option that takes a JSON object; None if it is not given.

    Raises:
        Complaint: It is not an object.
    """
    if text is None:
        return None
    value = parse_json(text, option)
    if not isinstance(value, dict):
        raise Complaint(f"{option} must be an object, as {option} '{{\"key\": 1}}'", exit=Exit.INVALID)
    return value


def decode_as(schema: Schema[Any], value: JsonValue, subject: str) -> Any:  # noqa: ANN401 - of whatever type it declares
    """Return a JSON value as its declared type: texts become dates, objects become models.

    Raises:
        InputError: It does not fit; names each path.
    """
    try:
        return schema.decode(encode(value))
    except InvalidValueError as error:
        raise InputError(subject, error.problems) from None


def parse_span(text: str, option: str) -> timedelta:
    """Return a length of time: `90` (seconds), `1.5s`, `5m`, `2h`, `30d`, `1h30m`.

    Raises:
        Complaint: It is none.
    """
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Complaint(
            f"{option}: '{text}' is not a length of time", hint=f"write it as 90s, 5m, 2h or 1d: {option} 5m"
        )
    try:
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise Complaint(f"{option}: '{text}' is too long") from None


def parse_moment(text: str, option: str) -> datetime:
    """Return a moment: an ISO date and time; without a zone it is meant in that of this machine.

    Raises:
        Complaint: It is none.
    """
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        hint = f"write it as 2026-05-01 or 2026-05-01T12:30 or 2026-05-01T12:30+02:00: {option} 2026-05-01"
        raise Complaint(f"{option}: '{text}' is not a date", hint=hint) from None


def parse_past(text: str, option: str) -> datetime:
    """Return a moment that may also be given by how long ago it was: `2h`.

    Raises:
        Complaint: It is neither.
    """
    if _SPAN.match(text) and cast("re.Match[str]", _SPAN.match(text)).end() == len(text) and not text.isdigit():
        return datetime.now(UTC) - parse_span(text, option)
    return parse_moment(text, option)
