"""Lists of runs and numbers of them, over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from outlast import Workflow
from outlast.server import Token
from outlast.server.routes import runs
from server.site import APPROVAL, GREET, Site, greet, site

SECRET = "secret-of-ada-0123456789"


async def start(s: Site, name: str, **options: object) -> str:
    body = {"inputData": name, **options}
    return str((await s.post("/workflows/greet/start-async", body)).json()["runId"])


async def names(s: Site, **query: object) -> list[str]:
    response = await s.get("/workflows/greet/runs", params={"snapshots": True, **query})
    assert response.status_code == 200, response.text
    return [row["snapshot"]["context"]["input"] for row in response.json()["runs"]]


async def test_list_shows_the_newest_run_first_with_its_snapshot():
    async with site() as s:
        for name in ("ada", "bob"):
            await start(s, name, requestContext={"apiKey": "hunter2", "tenant": "x"})
        page = (await s.get("/workflows/greet/runs", params={"perPage": 100})).json()

    assert page["total"] == 2
    row = page["runs"][0]
    assert set(row) == {"workflowName", "runId", "resourceId", "createdAt", "updatedAt", "snapshot"}
    snapshot = row["snapshot"]
    assert (snapshot["status"], snapshot["result"]) == ("success", "hello bob")
    assert snapshot["context"]["input"] == "bob"
    assert snapshot["context"]["greet"]["output"] == "hello bob"
    assert snapshot["requestContext"] == {"apiKey": "[redacted]", "tenant": "x"}


@pytest.mark.parametrize(
    "query", [{}, {"limit": "false"}, {"perPage": 101}, {"perPage": 2, "snapshots": False}], ids=str
)
async def test_long_list_reads_no_journals(query: dict[str, object], monkeypatch: pytest.MonkeyPatch):
    async with site() as s:
        run_id = await start(s, "ada", resourceId="x")
        await s.created(GREET)
        monkeypatch.delattr(type(s.app.engine), "load_history")
        page = (await s.get("/workflows/greet/runs", params=query)).json()

    assert (page["total"], len(page["runs"])) == (2, 2)
    row = page["runs"][1]
    assert set(row) == {"workflowName", "runId", "resourceId", "createdAt", "updatedAt", "snapshot"}
    assert (row["runId"], row["resourceId"], row["snapshot"]["status"]) == (run_id, "x", "success")


async def test_long_list_and_short_one_have_the_same_heads():
    async with site() as s:
        await start(s, "ada", resourceId="x")
        short, long = [
            (await s.get("/workflows/greet/runs", params={"snapshots": each})).json()["runs"][0]
            for each in (True, False)
        ]

    assert long["snapshot"].items() <= short["snapshot"].items()
    assert {**long, "snapshot": None} == {**short, "snapshot": None}


async def test_pages_by_number_and_by_offset():
    async with site() as s:
        for name in "abcde":
            await start(s, name)

        assert await names(s, page=0, perPage=2) == ["e", "d"]
        assert await names(s, page=2, perPage=2) == ["a"]
        assert await names(s, limit=2, offset=3) == ["c", "b"], "the page on which the offset lies"
        assert await names(s, limit="false") == ["e", "d", "c", "b", "a"]


async def test_pages_by_number_end_where_nothing_is_counted_any_more(monkeypatch: pytest.MonkeyPatch):
    """17: page numbers go to 10,000 rows; beyond them a page is empty, and never one that was there before."""
    monkeypatch.setattr(runs, "COUNTED", 3)
    async with site() as s:
        for name in "abcde":
            await start(s, name)

        pages = [await names(s, page=page, perPage=2) for page in range(4)]
        beyond = [await names(s, offset=4, limit=2), await names(s, page=10_000, perPage=100)]

    assert pages == [["e", "d"], ["c"], [], []]
    assert beyond == [[], []]


async def test_conditions_narrow_a_list():
    async with site() as s:
        await start(s, "ada", resourceId="x")
        await start(s, "bob")
        await s.created(GREET)
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

        assert await names(s, resourceId="x") == ["ada"]
        assert await names(s, status="success") == ["bob", "ada"]
        assert await names(s, status="pending") == [None]
        assert await names(s, fromDate=later) == []
        assert len(await names(s, toDate=later)) == 3


@pytest.mark.parametrize(
    "query",
    [
        {"perPage": 0},
        {"perPage": 100_000},
        {"perPage": 101, "snapshots": True},
        {"page": -1},
        {"limit": "x"},
        {"status": "nope"},
        {"fromDate": "yesterday"},
        {"fromDate": "2026-01-01T00:00:00"},
    ],
    ids=str,
)
async def test_bad_condition_is_refused(query: dict[str, object]):
    async with site() as s:
        response = await s.get("/workflows/greet/runs", params=query)

    assert response.status_code == 400
    assert response.json()["issues"]


async def test_counts_of_active_runs():
    async with site() as s:
        await start(s, "ada")
        await s.started(APPROVAL)
        counts = (await s.get("/workflows/run-counts")).json()

    assert counts == {"greet": {"running": 0, "suspended": 0}, "approval": {"running": 0, "suspended": 1}}


async def test_owner_of_a_resource_sees_only_its_runs():
    token = Token.of(SECRET, name="ada", scope="read", resource_id="ada")
    async with site(tokens=[token], headers={"authorization": f"Bearer {SECRET}"}) as s:
        for owner in ("ada", "eve", None):
            run = await s.app.create_run(APPROVAL, resource_id=owner)
            await run.start(input_data="x")
        rows = (await s.get("/workflows/approval/runs", params={"resourceId": "eve"})).json()
        page = (await s.get("/runs", params={"resourceId": "eve"})).json()
        counts = (await s.get("/workflows/run-counts")).json()
        stats = (await s.get("/stats")).json()

    assert [row["resourceId"] for row in rows["runs"]] == ["ada"]
    assert [row["resourceId"] for row in page["runs"]] == ["ada"]
    assert counts["approval"] == {"running": 0, "suspended": 1}
    assert stats == {"approval": {"suspended": 1}}


async def test_runs_of_all_workflows_page_by_key():
    other = Workflow("other").then(greet).commit()
    async with site(GREET, other) as s:
        for workflow in (GREET, other, GREET):
            await s.started(workflow)
        first = (await s.get("/runs", params={"perPage": 2})).json()
        second = (await s.get("/runs", params={"perPage": 2, "after": first["after"]})).json()
        stats = (await s.get("/stats", params={"workflowId": "greet"})).json()
        bad = await s.get("/runs", params={"after": "nonsense"})

    assert [run["workflowId"] for run in first["runs"] + second["runs"]] == ["greet", "other", "greet"]
    assert (first["total"], second["after"]) == (3, None)
    assert stats == {"greet": {"success": 2}}
    assert bad.status_code == 400


async def test_search_and_status_narrow_the_list_of_all_runs():
    async with site() as s:
        await s.post("/workflows/greet/start-async?runId=order-1", {"inputData": "x"})
        await s.post("/workflows/approval/start-async?runId=order-2", {"inputData": "x"})

        async def found(**query: object) -> list[str]:
            return [run["runId"] for run in (await s.get("/runs", params=query)).json()["runs"]]

        assert await found(search="order-") == ["order-2", "order-1"]
        assert await found(status=["suspended", "failed"]) == ["order-2"]
        assert await found(workflowId="greet") == ["order-1"]
