"""The TOML file of tokens, as programs extend it. People may edit it, too: what stands in it is left as it is."""

from __future__ import annotations

import json
import os
from datetime import UTC
from pathlib import Path

from outlast.errors import ConfigurationError
from outlast.server.auth import Token, load_tokens

__all__ = ["add_token"]


def add_token(path: str | os.PathLike[str], token: Token) -> bool:
    """Put a token at the end of a file, which is made, for its owner only, if there is none.

    Returns:
        Whether it was put there; False if the file has a token of that name, and is left as it is.

    Raises:
        ConfigurationError: The file cannot be read or written, or holds something else.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8") if place.exists() else ""
    except (OSError, ValueError) as error:
        message = f"tokens cannot be read from {place}: {error}"
        raise ConfigurationError(message) from error
    # Comments alone are no mistake here; anything else that is no token is another file.
    if _has_entries(text) and any(each.name == token.name for each in load_tokens(place)):
        return False
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(("\n" if text else "") + _render(token))
    except OSError as error:
        message = f"the token cannot be written to {place}: {error.strerror}"
        raise ConfigurationError(message) from error
    return True


def _has_entries(text: str) -> bool:
    return any(line.strip() and not line.strip().startswith("#") for line in text.splitlines())


def _render(token: Token) -> str:
    lines = ["[[token]]", f"name = {_quoted(token.name)}", f'digest = "{token.digest}"', f'scope = "{token.scope}"']
    if token.resource_id is not None:
        lines.append(f"resource_id = {_quoted(token.resource_id)}")
    if token.expires_at is not None:
        at = token.expires_at.astimezone(UTC).isoformat(timespec="seconds")
        lines.append(f"expires_at = {at.replace('+00:00', 'Z')}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a printable text as a string of TOML; there it is written as in JSON."""
    return json.dumps(text, ensure_ascii=False)
