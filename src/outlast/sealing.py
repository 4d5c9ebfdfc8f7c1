"""Sealed values: what sensitive parts of JSON look like at rest, and what may be seen of them where.

A sensitive value is recorded as a text of its own form, *sealed*, in the place where the value would stand. So sealed
JSON is JSON: it is stored, spliced, merged and copied like any other, by code that has no key. It is opened where user
code is called and where a caller with the keys reads a result. Everywhere else it is masked.

Pure: how values are encrypted is the business of a `Sealer` (see `keys.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final, ParamSpec, Protocol, TypeVar, cast

from outlast.errors import ConfigurationError, Problem
from outlast.values import InvalidValueError, JsonValue, child_path, decode, encode

__all__ = [
    "IN_CLEAR",
    "MASK",
    "PREFIX",
    "Disclosure",
    "Sealer",
    "current_disclosure",
    "disclose",
    "disclosed",
    "disclosing",
    "disclosure_for",
    "has_seals",
    "hidden",
    "is_sealed",
    "keys_of",
    "masked",
    "masked_value",
    "needed_disclosure",
    "opened",
    "opened_value",
]

P = ParamSpec("P")
T = TypeVar("T")

PREFIX: Final = "outlast:sealed:"
"""How every sealed value begins; `1:<key id>:<text>` follows."""
MASK: Final = "**********"
"""What is shown instead of a sensitive value."""

_MARK: Final = PREFIX.encode()
# A quote within a text is escaped in JSON, so one without a backslash before it begins or ends a text.
_SEALED: Final = re.compile(rb'(?<!\\)"outlast:sealed:1:([0-9A-Za-z._-]{1,64}):([0-9A-Za-z_-]+)"')
_MASKED: Final = b'"' + MASK.encode() + b'"'
_LEAST_IN_TEXT: Final = 4
"""Shorter texts are not looked for within other texts: they would be found everywhere."""
_LEAST_HIDDEN: Final = 3
"""Shorter texts and numbers are not replaced in messages, for the same reason."""


class Sealer(Protocol):
    """Seals the values of one workflow, with its keys."""

    def seal(self, raw: bytes) -> tuple[str, str]:
        """Encrypt JSON; return the id of the key and the sealed text."""
        ...

    def open(self, key_id: str, text: str) -> bytes:
        """Return the JSON that was sealed.

        Raises:
            MissingKeyError: The key is not among the keys.
            SealBrokenError: It was not sealed with this key for this workflow.
        """
        ...

    def digest(self, raw: bytes) -> bytes:
        """Return a hash of JSON that nobody can guess values from without the key."""
        ...


class Disclosure:
    """What one call of user code, or one reader, learns of sensitive values, so that it does not get out again.

    Used by one call at a time; calls of sync bodies happen in threads.
    """

    __slots__ = ("_known", "_sealer", "_starts")

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._known: dict[str, JsonValue] = {}
        """Every part of what was opened or sealed, by its JSON, so that equal ones are kept once."""
        self._starts: dict[str, dict[int, set[str]]] = {}
        """The longer texts among them by how they begin and by length, so that looking for them costs O(text)."""

    def seal(self, value: JsonValue) -> JsonValue:
        """Seal a value: return the text that is recorded instead.

        Raises:
            InvalidValueError: JSON cannot hold it.
        """
        raw = encode(value)
        self._note(value)
        key_id, text = self._sealer.seal(raw)
        return f"{PREFIX}1:{key_id}:{text}"

    def open(self, raw: bytes) -> bytes:
        """Open all that is sealed in encoded JSON.

        Raises:
            MissingKeyError: A key is missing; the message names it.
            SealBrokenError: A value was not sealed with the key whose name it bears.
        """
        if raw.find(_MARK) < 0:
            return raw
        return _SEALED.sub(lambda found: self._open_one(found[1].decode(), found[2].decode()), raw)

    def _open_one(self, key_id: str, text: str) -> bytes:
        raw = self.open(self._sealer.open(key_id, text))  # a sensitive value may hold sensitive values
        self._note(decode(raw))
        return raw

    def digest(self, raw: bytes) -> bytes:
        """Return a hash of JSON that tells nothing of sensitive values to those who lack the key."""
        return self._sealer.digest(raw)

    def admit(self, raw: bytes) -> bytes:
        """Seal again what is known, as `reseal`, in JSON of a type that has no sensitive parts itself.

        Raises:
            InvalidValueError: It holds a text in the form of a sealed value, which nobody but Outlast may make: opened
                for a body, it would show what its author may not see. Or a key of an object holds a sensitive text.
        """
        if has_seals(raw):
            raise InvalidValueError([Problem("", "it holds a text in the form of sealed values, which is reserved")])
        return self.reseal(raw)

    def reseal(self, raw: bytes) -> bytes:
        """Seal in encoded JSON what is equal to a known sensitive value, and texts that hold one.

        A function without declared types hands sensitive values on as it got them; here they are sealed again.

        Raises:
            InvalidValueError: A key of an object holds a sensitive text, which cannot be sealed.
        """
        if not self._known:
            return raw
        value = decode(raw)
        sealed = self.reseal_value(value)
        return raw if sealed is value else encode(sealed)

    def reseal_value(self, value: JsonValue, path: str = "") -> JsonValue:
        """Do the same with decoded JSON; the very value if there is nothing to seal in it.

        Raises:
            InvalidValueError: A key of an object holds a sensitive text, which cannot be sealed.
        """
        if not self._known or is_sealed(value):
            return value
        if self._is_known(value):
            return self.seal(value)
        if isinstance(value, list):
            items = [self.reseal_value(item, child_path(path, at)) for at, item in enumerate(value)]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        if isinstance(value, dict):
            return self._reseal_object(value, path)
        return value

    def _reseal_object(self, value: dict[str, JsonValue], path: str) -> JsonValue:
        for key in value:
            if self._holds_known(key):
                reason = "a key of it holds a sensitive value, and keys are recorded in clear; make it a value"
                raise InvalidValueError([Problem(path, reason)])
        sealed = {key: self.reseal_value(item, child_path(path, key)) for key, item in value.items()}
        return value if all(sealed[key] is item for key, item in value.items()) else sealed

    def _is_known(self, value: JsonValue) -> bool:
        return _text(value) in self._known or (isinstance(value, str) and self._holds_known(value))

    def _holds_known(self, text: str) -> bool:
        starts = self._starts
        for at in range(len(text) - _LEAST_IN_TEXT + 1):
            found = starts.get(text[at : at + _LEAST_IN_TEXT])
            if found is not None and any(text[at : at + length] in texts for length, texts in list(found.items())):
                return True
        return False

    def hide(self, text: str) -> str:
        """Mask every known sensitive value in a message."""
        for known in sorted(self._values(), key=lambda each: -len(str(each))):
            if isinstance(known, bool) or not isinstance(known, str | int | float):
                continue
            for form in {str(known), repr(known)[1:-1] if isinstance(known, str) else "", _text(known).strip('"')}:
                if len(form) >= _LEAST_HIDDEN:
                    text = text.replace(form, MASK)
        return text

    def _values(self) -> list[JsonValue]:
        return list(self._known.values())  # a copy: a task that a body started may open more meanwhile

    def _note(self, value: JsonValue) -> None:
        if value is None or value in ("", [], {}) or is_sealed(value):
            return
        self._known[_text(value)] = value
        if isinstance(value, str) and len(value) >= _LEAST_IN_TEXT:
            self._starts.setdefault(value[:_LEAST_IN_TEXT], {}).setdefault(len(value), set()).add(value)
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self._note(part)


class _InClear(Disclosure):
    """Seals nothing, for values that go to somebody who may see them and are recorded by nobody."""

    __slots__ = ()

    def __init__(self) -> None:
        """Know nothing: without keys there is nothing to open."""

    def seal(self, value: JsonValue) -> JsonValue:
        return value

    def reseal(self, raw: bytes) -> bytes:
        return raw

    def admit(self, raw: bytes) -> bytes:
        return raw

    def open(self, raw: bytes) -> bytes:
        return raw


IN_CLEAR: Final[Disclosure] = _InClear()
"""Lets sensitive types be encoded as they are: for requests to a server, and for callers who see them in clear."""


_current: ContextVar[Disclosure | None] = ContextVar("outlast_disclosure", default=None)


def disclosure_for(sealers: Mapping[str, Sealer], workflow_id: str) -> Disclosure | None:
    """Return what a caller or a call may see of the sensitive values of a workflow; None if it has none."""
    sealer = sealers.get(workflow_id)
    return None if sealer is None else Disclosure(sealer)


def disclose(disclosure: Disclosure) -> None:
    """Let types with sensitive fields be encoded and decoded from here on in this context."""
    _current.set(disclosure)


def current_disclosure() -> Disclosure | None:
    """Return what is disclosed to the call of user code that runs in this context; None if nothing is sensitive."""
    return _current.get()


def disclosed(sealer: Sealer | None, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function makes with the keys of one workflow at hand; see `keys_of`."""
    with keys_of(sealer):
        return make(*args, **kwargs)


def keys_of(sealer: Sealer | None) -> AbstractContextManager[object]:
    """Have the keys of one workflow at hand within a block, and no others, whatever is disclosed around it."""
    if sealer is None and _current.get() is None:
        return _NOTHING
    return disclosing(None if sealer is None else Disclosure(sealer))


_NOTHING: Final = nullcontext()


@contextmanager
def disclosing(disclosure: Disclosure | None) -> Generator[Disclosure | None]:
    """Let types with sensitive fields be encoded and decoded within the block."""
    token = _current.set(disclosure)
    try:
        yield disclosure
    finally:
        _current.reset(token)


def opened(raw: bytes) -> bytes:
    """Open what is sealed in encoded JSON, for the call of user code that runs in this context.

    Raises:
        MissingKeyError: A key is missing; the message names it.
        SealBrokenError: A value was not sealed with the key whose name it bears.
    """
    disclosure = _current.get()
    return raw if disclosure is None else disclosure.open(raw)


def opened_value(value: JsonValue) -> JsonValue:
    """Open a sealed value; any other is returned as it is.

    Raises:
        ConfigurationError: No keys are at hand here.
    """
    if not is_sealed(value):
        return value
    return decode(needed_disclosure().open(encode(value)))


def needed_disclosure() -> Disclosure:
    """Return the disclosure of this context.

    Raises:
        ConfigurationError: There is none: the type is used where no workflow declares it.
    """
    disclosure = _current.get()
    if disclosure is None:
        message = (
            "a value of a type with sensitive fields can be recorded only by a workflow that declares such a type: "
            "name it in the types of the workflow or of one of its steps, and give the app keys=Keyring(...)"
        )
        raise ConfigurationError(message)
    return disclosure


def is_sealed(value: object) -> bool:
    """Whether a decoded value is a sealed one."""
    return isinstance(value, str) and value.startswith(PREFIX) and _SEALED.fullmatch(_quoted(value)) is not None


def has_seals(raw: bytes) -> bool:
    """Whether encoded JSON holds a text in the form of a sealed value, be it a key of an object."""
    return raw.find(_MARK) >= 0 and _SEALED.search(raw) is not None


def masked(raw: bytes) -> bytes:
    """Mask what is sealed in encoded JSON. Needs no keys."""
    return raw if raw.find(_MARK) < 0 else _SEALED.sub(_MASKED, raw)


def masked_value(value: JsonValue) -> JsonValue:
    """Mask what is sealed in decoded JSON; the very value if nothing is."""
    raw = encode(value)
    return value if _MARK not in raw else decode(masked(raw))


def hidden(value: JsonValue, hide: Callable[[str], str]) -> JsonValue:
    """Mask sensitive values in all texts and numbers of decoded JSON, keys of objects included."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if hide(_text(value)) == _text(value) else MASK
    if isinstance(value, list):
        return [hidden(item, hide) for item in value]
    if isinstance(value, dict):
        return {hide(key): hidden(item, hide) for key, item in value.items()}
    return value


def _quoted(value: str) -> bytes:
    return b'"' + value.encode("utf-8", "replace") + b'"'


def _text(value: JsonValue) -> str:
    """Return what tells JSON values apart; Python would take `1` and `true` for the same."""
    return json.dumps(cast("object", value), sort_keys=True, ensure_ascii=False)
