"""The page of HTTP routes has one line for each route that there is, and for no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from outlast import Outlast
from outlast.server import create_app

DOCS = Path(__file__).parents[2] / "docs"


def routes() -> list[str]:
    app: Any = create_app(Outlast([], store="memory"))
    api = next(route.app for route in app.routes if isinstance(getattr(route, "app", None), FastAPI))
    found = [route for route in api.router.routes if isinstance(route, APIRoute)] or list(_included(api))
    return sorted(f"{method} {route.path_format}" for route in found for method in route.methods)


def _included(api: FastAPI) -> list[APIRoute]:
    described = api.openapi()["paths"]
    return [
        APIRoute(path, lambda: None, methods=[method.upper()])
        for path, operations in described.items()
        for method in operations
    ]


def test_every_route_has_one_line():
    page = (DOCS / "reference" / "http-api.md").read_text()

    documented = re.findall(r"^\| `((?:GET|POST|DELETE) [^`]+)` \|", page, re.MULTILINE)

    assert sorted(documented) == routes()


def test_every_code_of_the_guide_is_known():
    page = (DOCS / "guide" / "over-http.md").read_text()
    sources = "".join(path.read_text() for path in (DOCS.parent / "src" / "outlast").rglob("*.py"))
    table = page[page.index("| Status | Code |") : page.index("## Several processes")]

    codes = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", table))

    from outlast import errors  # noqa: PLC0415 - beside its use

    derived = {errors.code_of(each) for each in vars(errors).values() if isinstance(each, type)}
    assert [code for code in sorted(codes) if f'"{code}"' not in sources and code not in derived] == []
