"""The page of HTTP routes has one line for each route that there is, and for no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from server.site import site

DOCS = Path(__file__).parents[2] / "docs"


async def described() -> dict[str, Any]:
    """The paths of the OpenAPI description, as it is served."""
    async with site() as s:
        paths: dict[str, Any] = (await s.get("/openapi.json")).json()["paths"]
    return paths


async def test_every_route_has_one_line_with_its_refusals():
    page = (DOCS / "reference" / "http-api.md").read_text()
    rows = re.findall(r"^\| `((?:GET|POST|PUT|PATCH|DELETE) [^`]+)` \| \w+ \| ([\d ]*?) *\|", page, re.MULTILINE)

    routes = {
        f"{method.upper()} {path}": sorted(set(operation["responses"]) - {"200"})
        for path, operations in (await described()).items()
        for method, operation in operations.items()
    }
    assert len(dict(rows)) == len(rows), "a route has two lines"
    assert {route: statuses.split() for route, statuses in rows} == routes


def test_every_refusal_of_the_server_is_in_the_guide():
    page = (DOCS / "guide" / "over-http.md").read_text()
    table = page[page.index("| Status | Code |") : page.index("## Several processes")]
    sources = "".join(path.read_text() for path in (DOCS.parent / "src" / "outlast" / "server").rglob("*.py"))

    told = {
        (status, code)
        for status, codes in re.findall(r"^\| (\d+) \| ([^|]+) \|", table, re.MULTILINE)
        for code in re.findall(r"`([a-z-]+)`", codes)
    }
    refusals = set(re.findall(r'Refusal\(\s*(\d{3}),[^()]*?code="([a-z-]+)"', sources))
    assert len(refusals) >= 10
    assert refusals - told == set()


def test_every_code_of_the_guide_is_known():
    page = (DOCS / "guide" / "over-http.md").read_text()
    sources = "".join(path.read_text() for path in (DOCS.parent / "src" / "outlast").rglob("*.py"))
    table = page[page.index("| Status | Code |") : page.index("## Several processes")]

    codes = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", table))

    from outlast import errors  # noqa: PLC0415 - beside its use

    derived = {errors.code_of(each) for each in vars(errors).values() if isinstance(each, type)}
    assert [code for code in sorted(codes) if f'"{code}"' not in sources and code not in derived] == []
