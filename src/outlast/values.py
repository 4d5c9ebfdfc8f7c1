"""The JSON that a run is made of: strict encoding, decoding and splicing of values without a declared type.

Whatever is recorded passes through here or through `graph.schema`, and both give the same promise (rules 5.9, 5.10):
what is decoded later is what was handed over, or the value is refused with the path of what JSON cannot hold.
"""

from __future__ import annotations

import json
import json.encoder
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeGuard, cast

from outlast.errors import Problem

__all__ = [
    "LARGEST_JOINED",
    "LARGEST_VALUE",
    "MAX_DEPTH",
    "MAX_PROBLEMS",
    "InvalidValueError",
    "JsonValue",
    "child_path",
    "decode",
    "encode",
    "is_shallow",
    "join_dict",
    "join_list",
    "kind_of",
    "split_headed_list",
    "split_list",
]

if TYPE_CHECKING:
    JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
    """Anything that JSON can hold. As an annotation of a step it means the same as no annotation."""
else:
    # A recursive alias cannot be resolved by get_type_hints in modules that do not import its name. Nothing is lost:
    # every recorded value is checked anyway.
    JsonValue = Any

LARGEST_JOINED: Final = 64 * 1024 * 1024
LARGEST_VALUE: Final = 4 * 1024 * 1024
"""How large one recorded value may be, in bytes of JSON (rule 9.7)."""

MAX_DEPTH: Final = 128
"""How deep lists and objects may nest. Below the limit of every decoder in use, with room for joined blocks."""
MAX_PROBLEMS: Final = 50
"""How many problems of one value are reported at most."""


class InvalidValueError(ValueError):
    """A value that JSON or its declared type cannot hold. Callers turn it into `InputError` or `OutputError`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        """Everything that is wrong, at least one."""
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Render all problems, each with its path."""
        return "; ".join(str(problem) for problem in self.problems)


def encode(value: object) -> bytes:
    """Encode a value as compact UTF-8 JSON.

    Guarantees that `decode` gives an equal value back, tuples being lists and members of `StrEnum` and the like being
    their plain value. Nothing is converted or dropped silently.

    Raises:
        InvalidValueError: part of the value is not JSON; name its paths to whoever made the value.
    """
    try:
        text = _encoded_text(value)
        back = _DECODER.raw_decode(text)[0]
        if back == value and _is_shallow(text, back):
            return text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidValueError(_problems_of(value) or (Problem("", f"not JSON: {error}"),)) from error
    return _encode_unequal(value)


def decode(raw: bytes) -> JsonValue:
    """Decode JSON. Every call gives fresh objects.

    Raises:
        InvalidValueError: the bytes are not JSON.
    """
    try:
        text = raw.decode().strip(_WHITESPACE)
        value: JsonValue
        value, end = _DECODER.raw_decode(text)
        if end != len(text):
            value = _DECODER.decode(text)  # which says what is wrong
    except (ValueError, RecursionError) as error:
        raise _malformed(error) from error
    else:
        return value


def is_shallow(raw: bytes) -> bool:
    """Whether encoded JSON nests no deeper than `MAX_DEPTH`."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return True
    brackets = _STRING.sub(b"", raw).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # each time the innermost of all that are left
        if not brackets:
            return True
    return False


def join_list(raws: Iterable[bytes]) -> bytes:
    """Make an encoded list of encoded items, without decoding them."""
    return b"[" + b",".join(raws) + b"]"


def join_dict(items: Iterable[tuple[str, bytes]]) -> bytes:
    """Make an encoded object of names and encoded values, in the given order, without decoding them.

    Raises:
        InvalidValueError: a name is not Unicode text.
    """
    return b"{" + b",".join(encode(key) + b":" + raw for key, raw in items) + b"}"


def split_list(raw: bytes) -> list[bytes]:
    """Give the encoded items of an encoded list.

    Raises:
        InvalidValueError: the bytes are JSON of another kind, or not JSON; the reason says which.
    """
    return [item.encode() for _, item in _items_of(raw)]


def split_headed_list(raw: bytes) -> tuple[JsonValue, list[bytes]]:
    """Give the first item of an encoded list decoded, and the others encoded.

    Raises:
        InvalidValueError: the bytes are JSON of another kind, an empty list, or not JSON; the reason says which.
    """
    items = _items_of(raw)
    if not items:
        raise InvalidValueError([Problem("", "an item is needed, this is an empty list")])
    return items[0][0], [item.encode() for _, item in items[1:]]


def child_path(parent: str, key: str | int) -> str:
    """Extend a path by a key or an index, as `items[2].price`; keys that are not names are quoted."""
    if isinstance(key, int):
        return f"{parent}[{key}]"
    if not key.isidentifier():
        return f"{parent}[{json.dumps(key)}]"
    return f"{parent}.{key}" if parent else key


def kind_of(value: object) -> str:
    """Name the type of a value in a message, as `an int`."""
    name = "None" if value is None else type(value).__name__
    return name if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{kind_of(value)} is not JSON")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _text_encoder() -> Callable[[object], str]:
    """Build the encoder once; `JSONEncoder.encode` would build it anew for each value, at half the cost of it all."""
    make: Callable[..., Callable[[object, int], Iterable[str]]] | None = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # pragma: no cover  (interpreters without the C accelerator)
        return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse).encode
    quote = json.encoder.encode_basestring
    # No table of open containers (the first None): shared by all calls, it would stay dirty after a failure. A cycle
    # ends as RecursionError instead, and the slow walk names it.
    chunks = make(None, _refuse, quote, None, ":", ",", False, False, False)  # noqa: FBT003  (positional only)
    return lambda value: "".join(chunks(value, 0))


_encoded_text: Final = _text_encoder()
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(each for each in range(256) if each not in b"[]{}")
_WHITESPACE: Final = " \t\n\r"
_SPACES: Final = tuple(_WHITESPACE)


def _encode_unequal(value: object) -> bytes:
    """Encode what does not come back equal: refuse it with the reason, unless only tuples became lists."""
    problems = _problems_of(value)
    if problems:
        raise InvalidValueError(problems)
    return _encoded_text(value).encode()


def _is_shallow(text: str, value: object) -> bool:
    """Whether nesting is within the limit. Text with few brackets is never deep, which spares a look at the value."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return True
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for node in level for item in _items(node) if isinstance(item, (dict, list))]
        if not level:
            return True
    return False


def _items(node: object) -> Iterable[object]:
    return cast("Iterable[object]", node.values() if isinstance(node, dict) else node)


def _problems_of(value: object) -> list[Problem]:
    return list(islice(_walk(value, "", ()), MAX_PROBLEMS))


def _walk(value: object, path: str, parents: tuple[object, ...]) -> Iterator[Problem]:
    """Find what is not JSON in a value. `parents` are the containers around it, outermost first."""
    if isinstance(value, (dict, list, tuple)):
        if any(value is parent for parent in parents):
            yield Problem(path, "it contains itself; JSON has no references")
        elif len(parents) == MAX_DEPTH:
            yield Problem(path, f"nested deeper than {MAX_DEPTH} levels")
        else:
            yield from _walk_container(cast("object", value), path, (*parents, cast("object", value)))
    elif reason := _leaf_reason(value):
        yield Problem(path, reason)


def _walk_container(value: object, path: str, parents: tuple[object, ...]) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        for index, item in enumerate(cast(Iterable[object], value)):
            yield from _walk(item, child_path(path, index), parents)
        return
    for key, item in cast(Mapping[object, object], value).items():
        if not isinstance(key, str):
            yield Problem(path, f"the key {key!r} is {kind_of(key)}; keys are strings in JSON")
        elif reason := _leaf_reason(key):
            yield Problem(path, f"the key {key!r}: {reason}")
        else:
            yield from _walk(item, child_path(path, key), parents)


def _leaf_reason(value: object) -> str | None:
    """Say why a value that holds no others is not JSON."""
    if value is None or isinstance(value, bool):
        return None
    try:
        if isinstance(value, str):
            str.encode(value)
        elif isinstance(value, int):
            int.__repr__(value)
        elif not isinstance(value, float):
            problem = f"{kind_of(value)} is not JSON"
            advice = "await it" if isinstance(value, Awaitable) else "annotate the type so that it is converted"
            return f"{problem}; {advice}"
        elif not isfinite(value):
            return f"{float(value)} is not JSON; use None or a string for it"
    except UnicodeEncodeError:
        return "the text has a lone surrogate, which UTF-8 cannot hold"
    except ValueError:
        return "the integer has too many digits"
    return None


def is_text(value: object) -> TypeGuard[str]:
    """Say whether it is a text that can be recorded: UTF-8 holds no lone surrogate."""
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


def _json_kind(value: JsonValue) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    return "a string" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def _items_of(raw: bytes) -> list[tuple[JsonValue, str]]:
    try:
        text = raw.decode().strip(_WHITESPACE)
        if not text.startswith("["):
            raise InvalidValueError([Problem("", f"a list is needed, this is {_json_kind(decode(raw))}")])
        return list(_split(text))
    except InvalidValueError:
        raise
    except (ValueError, RecursionError) as error:
        raise _malformed(error) from error


def _split(text: str) -> Iterator[tuple[JsonValue, str]]:
    """Cut the items out of the text of a list; their own text is kept as it is."""
    at = _skip_space(text, 1)
    while not (at == len(text) - 1 and text[at] == "]"):
        value, end = _DECODER.raw_decode(text, at)
        yield value, text[at:end]
        at = _skip_space(text, end)
        if text[at : at + 1] == ",":
            at = _skip_space(text, at + 1)
            if text[at : at + 1] == "]":
                raise ValueError(f"an item is missing at character {at}")
        elif at != len(text) - 1:
            raise ValueError(f"a comma or the end of the list is missing at character {at}")


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACES:
        at += 1
    return at


def _malformed(error: Exception) -> InvalidValueError:
    if isinstance(error, RecursionError):
        return InvalidValueError([Problem("", "not readable: nested too deeply")])
    return InvalidValueError([Problem("", f"not JSON: {error}")])
