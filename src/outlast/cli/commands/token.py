"""The group `outlast token`: who may call a server."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from outlast.cli.command import command, make_group
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.extras import require_extra
from outlast.cli.place import existing
from outlast.cli.screen import Screen
from outlast.cli.values import parse_span
from outlast.instant import to_ms
from outlast.starting import check_text
from outlast.values import JsonValue

__all__ = ["group"]

group = make_group("Make tokens that a server asks for.")

File = Annotated[
    str, typer.Option("--file", "-f", metavar="FILE", help="The TOML file that `outlast serve --tokens` reads.")
]


class Scope(StrEnum):
    """What a token allows; the same words as at the server, which need not be installed to show help."""

    READ = "read"
    RUN = "run"
    ADMIN = "admin"


def new(
    screen: Screen,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who has it, for logs.", show_default=False)],
    *,
    file: File = "tokens.toml",
    scope: Annotated[Scope, typer.Option("--scope", help="What it allows; each includes those before it.")] = Scope.RUN,
    resource: Annotated[
        str | None, typer.Option("--resource", metavar="ID", help="Whose runs it reaches; all if not given.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="How long it is taken; for ever if not given.")
    ] = None,
) -> None:
    """Make a token: write its hash to a file, and its secret to stdout, this once."""
    require_extra("server", purpose="making tokens")
    from outlast.server.auth import Token, new_secret  # noqa: PLC0415 - only if the extra is there
    from outlast.server.token_file import add_token  # noqa: PLC0415 - as above

    check_text(name, "name")
    if resource is not None:
        check_text(resource, "resource")
    until = None if expires is None else datetime.now(UTC) + parse_span(expires, "--expires")
    secret = new_secret()
    token = Token.of(secret, name=name, scope=scope.value, resource_id=resource, expires_at=until)
    if not add_token(file, token):
        raise Complaint(
            f"{file} has a token '{name}' already",
            hint="choose another name, or take that one out",
            exit=Exit.REFUSED,
            code="token-exists",
        )
    if screen.is_json:
        screen.json({"name": name, "secret": secret, "file": file})
        return
    screen.say(secret)
    screen.note(f"{file} has only its hash: keep it now; serve with: outlast serve APP --tokens {file}")


def list_tokens(screen: Screen, *, file: File = "tokens.toml") -> None:
    """List the tokens of a file."""
    require_extra("server", purpose="reading tokens")
    from outlast.server.auth import load_tokens  # noqa: PLC0415 - only if the extra is there

    tokens = load_tokens(existing(file, hint="name it: --file FILE; or make a token: outlast token new NAME"))
    if screen.is_json:
        listed: list[JsonValue] = [
            {
                "name": each.name,
                "scope": each.scope.value,
                "resourceId": each.resource_id,
                "expiresAt": None if each.expires_at is None else to_ms(each.expires_at),
            }
            for each in tokens
        ]
        screen.json({"tokens": listed})
        return
    rows = [
        (each.name, each.scope.value, each.resource_id or "", each.expires_at.isoformat() if each.expires_at else "")
        for each in tokens
    ]
    screen.table(("NAME", "SCOPE", "RESOURCE", "EXPIRES"), rows)


command(group, "new")(new)
command(group, "list")(list_tokens)
