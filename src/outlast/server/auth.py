"""Who asks, and what they may do: bearer tokens with scopes, or any function that knows better."""

from __future__ import annotations

import hashlib
import os
import secrets
import tomllib
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias, cast

from starlette.requests import HTTPConnection

from outlast.errors import ConfigurationError, InputError
from outlast.immutable import frozen, immutable
from outlast.starting import check_text
from outlast.values import kind_of

__all__ = ["ANYBODY", "Authenticate", "Principal", "Scope", "Token", "Tokens", "load_tokens", "new_secret"]

_LEAST_CHARACTERS: Final = 20


class Scope(StrEnum):
    """What somebody may do. Each includes those before it."""

    READ = "read"
    """Look at workflows and runs."""
    RUN = "run"
    """Start, resume, cancel and repeat runs."""
    ADMIN = "admin"
    """Delete what is recorded, and see tracebacks."""

    def includes(self, needed: Scope) -> bool:
        """Say whether who has this scope may do what needs the other one."""
        return _RANKS[self] >= _RANKS[needed]


_RANKS: Final = {scope: rank for rank, scope in enumerate(Scope)}


def _check_resource(name: str, resource_id: str | None) -> None:
    if resource_id is None:
        return
    try:
        check_text(resource_id, "resource_id")
    except InputError as error:
        message = f"'{name}' is bound to the resource {resource_id!r:.60}, which {error.problems[0].reason}"
        raise ConfigurationError(message) from None


@immutable(kw_only=True)
class Principal:
    """Somebody who is known."""

    name: str
    """Who, for logs."""
    scope: Scope
    """What they may do."""
    resource_id: str | None = None
    """If not None: they see and touch only the runs of this resource, and what they start belongs to it."""

    def __post_init__(self) -> None:
        """Refuse a resource that no run can belong to: an empty one must not pass for none.

        Raises:
            ConfigurationError: The resource id is not a usable text.
        """
        _check_resource(self.name, self.resource_id)

    def owner_of(self, named: str | None) -> str | None:
        """Return whose runs are meant where somebody named a resource: who is bound to one means that one."""
        return named if self.resource_id is None else self.resource_id


ANYBODY: Final = Principal(name="anybody", scope=Scope.ADMIN)
"""Who asks where nobody is asked for a token."""

Authenticate: TypeAlias = Callable[[HTTPConnection], Awaitable[Principal | None]]
"""Finds out who asks, from headers and the like; None for nobody known."""


@frozen
class Token:
    """A bearer token, as the server keeps it: without its secret."""

    name: str
    """Who has it, for logs."""
    digest: str
    """SHA-256 of the secret, in hexadecimal. Secrets are long and random, so that a slow hash would add nothing."""
    scope: Scope
    """What its bearer may do."""
    resource_id: str | None = None
    """Whose runs its bearer sees; None for all."""
    expires_at: datetime | None = None
    """From when on it is refused (aware); None for never."""

    @staticmethod
    def of(
        secret: str,
        *,
        name: str,
        scope: Scope | str = Scope.RUN,
        resource_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> Token:
        """Make a token of its secret.

        Raises:
            ConfigurationError: The secret is too short to be safe, the scope or the resource is none, or the time has
                no zone.
        """
        if len(secret) < _LEAST_CHARACTERS:
            message = f"the secret of token '{name}' is shorter than {_LEAST_CHARACTERS} characters; use new_secret()"
            raise ConfigurationError(message)
        return _token(name, digest_of(secret), scope, resource_id, expires_at)


class Tokens:
    """Knows the bearers of some tokens."""

    def __init__(self, tokens: Iterable[Token], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._by_digest = {token.digest: token for token in tokens}
        self._now = now

    async def __call__(self, connection: HTTPConnection) -> Principal | None:
        """Return who has the token of the `Authorization` header; None if it is unknown or too old."""
        given = connection.headers.get("authorization", "")
        scheme, _, rest = given.partition(" ")
        secret = rest.strip() if scheme.lower() == "bearer" and rest else given
        # Looked up by its digest: how long that takes tells nothing of the secrets that there are.
        token = self._by_digest.get(digest_of(secret))
        if token is None or (token.expires_at is not None and token.expires_at <= self._now()):
            return None
        return Principal(name=token.name, scope=token.scope, resource_id=token.resource_id)


def new_secret() -> str:
    """Return a new secret for a token: 256 random bits."""
    return f"outlast_{secrets.token_urlsafe(32)}"


def digest_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def load_tokens(path: str | os.PathLike[str]) -> list[Token]:
    """Read tokens from a TOML file: `[[token]]` with name, digest, scope, and optionally resource_id and expires_at.

    Raises:
        ConfigurationError: The file cannot be read, or an entry is wrong; the message says which.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - `path` may be anything that open takes
            content = tomllib.load(file)
    except (OSError, ValueError) as error:
        message = f"tokens cannot be read from {os.fspath(path)}: {error}"
        raise ConfigurationError(message) from error
    entries: object = content.get("token", [])
    if not isinstance(entries, list) or not entries:
        message = f"{os.fspath(path)} has no [[token]] in it"
        raise ConfigurationError(message)
    return [
        _read(entry, f"token {number} in {os.fspath(path)}")
        for number, entry in enumerate(cast("list[object]", entries), 1)
    ]


_KINDS: Final[dict[str, type]] = {
    "name": str,
    "digest": str,
    "scope": str,
    "resource_id": str,
    "expires_at": datetime,
}


def _read(given: object, place: str) -> Token:
    if not isinstance(given, dict):
        message = f"{place} is {kind_of(given)}; write each token as a table of its own, [[token]]"
        raise ConfigurationError(message)
    entry = cast("dict[str, Any]", given)
    unknown = set(entry) - set(_KINDS)
    missing = {"name", "digest", "scope"} - set(entry)
    if unknown or missing:
        problem = f"has no {', '.join(sorted(missing))}" if missing else f"has unknown {', '.join(sorted(unknown))}"
        message = f"{place} {problem}"
        raise ConfigurationError(message)
    for key, kind in _KINDS.items():
        if key in entry and not isinstance(entry[key], kind):
            wanted = "a time with a zone, as 2027-01-01T00:00:00Z" if kind is datetime else "a text"
            message = f"{place} has {kind_of(entry[key])} as {key}; it needs {wanted}"
            raise ConfigurationError(message)
    name, digest, scope = entry["name"], entry["digest"], entry["scope"]
    return _token(name, digest, scope, entry.get("resource_id"), entry.get("expires_at"))


def _token(name: str, digest: str, scope: str, resource_id: str | None, expires_at: datetime | None) -> Token:
    if scope not in tuple(Scope):
        message = f"token '{name}' has the scope {scope!r}; there are {', '.join(Scope)}"
        raise ConfigurationError(message)
    if len(digest) != hashlib.sha256().digest_size * 2 or not set(digest) <= set("0123456789abcdef"):
        message = f"token '{name}' needs the SHA-256 of its secret as 64 hexadecimal digits in lower case"
        raise ConfigurationError(message)
    if expires_at is not None and expires_at.tzinfo is None:
        message = f"token '{name}' expires at a time without a zone; write it as 2027-01-01T00:00:00Z"
        raise ConfigurationError(message)
    _check_resource(name, resource_id)
    return Token(name=name, digest=digest, scope=Scope(scope), resource_id=resource_id, expires_at=expires_at)
