"""The HTTP API of an app. Needs the extra `server`: `pip install outlast[server]`."""

from __future__ import annotations

from outlast.server.app import create_app
from outlast.server.auth import Authenticate, Principal, Scope, Token, Tokens, load_tokens, new_secret
from outlast.server.options import ServerOptions
from outlast.server.running import serve

__all__ = [
    "Authenticate",
    "Principal",
    "Scope",
    "ServerOptions",
    "Token",
    "Tokens",
    "create_app",
    "load_tokens",
    "new_secret",
    "serve",
]
