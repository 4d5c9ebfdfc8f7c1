"""Schedules over HTTP (rule 16): every route, what is refused, and whose they are; and the same through the client."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from zoneinfo import ZoneInfoNotFoundError

import httpx
import pytest

from eventually import eventually
from outlast import (
    InputError,
    Schedule,
    ScheduleExistsError,
    ScheduleNotFoundError,
    ScheduleStateError,
    Workflow,
    step,
)
from outlast.client import Client
from outlast.scheduling.cron import find_zone
from outlast.server import Token, create_app
from server.site import GREET, Site, greet, site

DAILY = {"workflowId": "greet", "cron": "0 9 * * *", "timezone": "Europe/Berlin", "inputData": "ada"}


@step
async def refuse(name: str) -> str:
    raise ValueError(f"{name} is refused")


REFUSE = Workflow("refuse", input=str).then(refuse).commit()
DECLARED = Workflow("hail", input=str, output=str, schedule=Schedule("@yearly", input_data="ada")).then(greet).commit()


async def made(s: Site, **changes: Any) -> dict[str, Any]:
    response = await s.post("/schedules", {**DAILY, **changes})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def patched(s: Site, id: str, body: dict[str, Any]) -> httpx.Response:
    return await s.client.patch(f"/api/schedules/{id}", json=body)


async def test_schedule_is_made_and_found():
    """16.1: create, get and list; times are milliseconds."""
    async with site() as s:
        schedule = await made(s, id="mine", overlap="queue", metadata={"owner": "ops"})

        assert schedule["status"] == "active"
        assert schedule["cron"] == "0 9 * * *"
        assert schedule["nextFireAt"] > schedule["createdAt"] == schedule["updatedAt"]
        assert (await s.get("/schedules/mine")).json() == schedule
        listed = (await s.get("/schedules", params={"workflowId": "greet", "status": "active"})).json()
        assert listed == {"schedules": [schedule], "after": None}
        assert (await s.get("/schedules", params={"status": "paused"})).json()["schedules"] == []
        assert (await s.get("/schedules", params={"resourceId": "nobody"})).json()["schedules"] == []


@pytest.mark.parametrize("condition", ["agentId", "threadId", "name"])
async def test_schedules_of_workflows_are_not_those_of_agents(condition: str):
    """Clients of the reference ask for these, too; no condition is taken and ignored."""
    async with site() as s:
        await made(s, id="mine")

        assert (await s.get("/schedules", params={condition: "x"})).json() == {"schedules": [], "after": None}


async def test_schedules_come_in_pages():
    """16.1: list."""
    async with site() as s:
        for n in range(3):
            await made(s, id=f"s{n}", resourceId="even" if n % 2 == 0 else "odd")

        first = (await s.get("/schedules", params={"perPage": 2})).json()
        second = (await s.get("/schedules", params={"perPage": 2, "after": first["after"]})).json()
        even = (await s.get("/schedules", params={"perPage": 1, "resourceId": "even"})).json()
        rest = (await s.get("/schedules", params={"perPage": 1, "resourceId": "even", "after": even["after"]})).json()

        assert [each["id"] for each in first["schedules"] + second["schedules"]] == ["s0", "s1", "s2"]
        assert second["after"] is None
        assert [each["id"] for each in even["schedules"] + rest["schedules"]] == ["s0", "s2"]
        assert rest["after"] is None


async def test_patch_changes_only_what_it_names():
    """16.1: update."""
    async with site() as s:
        before = await made(s, id="mine", requestContext={"tenant": "a"}, resourceId="customer-1")

        after = (await patched(s, "mine", {"inputData": "bob"})).json()
        assert after == {**before, "inputData": "bob", "updatedAt": after["updatedAt"]}

        after = (await patched(s, "mine", {"everyMs": 60_000})).json()
        assert (after["everyMs"], after["timezone"], after.get("cron")) == (60_000, "UTC", None)
        assert after["requestContext"] == {"tenant": "a"}

        assert (await patched(s, "mine", {"status": "paused"})).json()["status"] == "paused"
        assert (await patched(s, "mine", {"status": "active"})).json()["status"] == "active"


async def test_pause_and_resume_are_idempotent():
    """16.1: pause and resume; the second one changes nothing."""
    async with site() as s:
        await made(s, id="mine")

        paused = (await s.post("/schedules/mine/pause")).json()
        assert (paused["status"], paused.get("nextFireAt")) == ("paused", None)
        assert (await s.post("/schedules/mine/pause")).json() == paused
        resumed = (await s.post("/schedules/mine/resume")).json()
        assert resumed["status"] == "active"
        assert (await s.post("/schedules/mine/resume")).json() == resumed


async def test_run_now_and_its_history():
    """16.1: run_now and triggers."""
    async with site() as s:
        await made(s, id="mine")

        claim = (await s.post("/schedules/mine/run")).json()
        assert claim["scheduleId"] == "mine"
        result = (await s.get(f"/runs/{claim['claimId']}/result", params={"wait": 30})).json()
        assert result["result"] == "hello ada"
        (trigger,) = (await s.get("/schedules/mine/triggers")).json()["triggers"]
        assert (trigger["outcome"], trigger["triggerKind"]) == ("fired", "manual")
        assert trigger["runId"] == claim["claimId"]
        later = {"fromActualFireAt": trigger["actualFireAt"] + 1}
        assert (await s.get("/schedules/mine/triggers", params=later)).json() == {"triggers": []}


async def test_history_and_schedule_show_how_runs_stand():
    """16.1: `run` of a trigger and `lastRun`: times in ms, the end and the reason only where there are any."""
    async with site(GREET, REFUSE) as s:
        await made(s, id="mine")
        claim = (await s.post("/schedules/mine/run")).json()
        await s.get(f"/runs/{claim['claimId']}/result", params={"wait": 30})
        await s.post("/schedules", {"id": "bad", "workflowId": "refuse", "everyMs": 1000, "inputData": "ada"})

        async def failed() -> dict[str, Any] | None:
            found = (await s.get("/schedules/bad")).json().get("lastRun")
            return found if found is not None and found["status"] == "failed" else None

        last = await eventually(failed)
        (trigger,) = (await s.get("/schedules/mine/triggers")).json()["triggers"]
        listed = (await s.get("/schedules")).json()["schedules"]

    assert last["error"] == "ada is refused"
    assert last["durationMs"] == last["completedAt"] - last["startedAt"] >= 0
    run = trigger["run"]
    assert set(run) == {"status", "startedAt", "completedAt", "durationMs"}
    assert (run["status"], run["durationMs"]) == ("success", run["completedAt"] - run["startedAt"])
    assert ["lastRun" in each for each in listed] == [True, False]


async def test_run_that_is_not_kept_any_more_is_left_out():
    """16.1, 17: what happened stays known; how the run stood does not."""
    async with site() as s:
        await made(s, id="mine")
        claim = (await s.post("/schedules/mine/run")).json()
        await s.get(f"/runs/{claim['claimId']}/result", params={"wait": 30})
        await GREET.delete_workflow_run_by_id(claim["claimId"])

        (trigger,) = (await s.get("/schedules/mine/triggers")).json()["triggers"]

    assert (trigger["runId"], "run" in trigger) == (claim["claimId"], False)


async def test_deleted_schedule_is_gone():
    """16.1: delete; its runs stay."""
    async with site() as s:
        await made(s, id="mine")

        assert (await s.client.delete("/api/schedules/mine")).json() == {"message": "Schedule deleted"}
        for response in (await s.get("/schedules/mine"), await s.post("/schedules/mine/pause")):
            assert (response.status_code, response.json()["code"]) == (404, "schedule-not-found")
            assert response.json()["error"] == "Schedule not found"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"cron": "61 * * * *"}, 400, "input"),
        ({"timezone": "Europe/Nowhere"}, 400, "input"),
        ({"inputData": 5}, 400, "input"),
        ({"everyMs": 1_000}, 400, "input"),
        ({"overlap": "both"}, 400, "invalid-request"),
        ({"unknown": 1}, 400, "invalid-request"),
        ({"metadata": {"deep": json.loads("[" * 150 + "]" * 150)}}, 400, "input"),
        ({"id": "wf_greet"}, 400, "input"),
        ({"id": "taken"}, 409, "schedule-exists"),
        ({"workflowId": "nobody"}, 404, "workflow-not-found"),
    ],
)
async def test_what_cannot_be_a_schedule_is_refused(body: dict[str, Any], status: int, code: str):
    """16.1: with the reason, and nothing is recorded."""
    async with site() as s:
        await made(s, id="taken")

        response = await s.post("/schedules", {**DAILY, **body})

        assert (response.status_code, response.json()["code"]) == (status, code)
        assert len((await s.get("/schedules")).json()["schedules"]) == 1


async def test_declared_schedule_is_changed_in_code_only():
    """16.3: it can be paused and run, and nothing else."""
    async with site(DECLARED) as s:
        known = (await s.get("/schedules/wf_hail")).json()
        assert known["declared"] is True
        for response in (
            await patched(s, "wf_hail", {"cron": "@daily"}),
            await s.client.delete("/api/schedules/wf_hail"),
        ):
            assert (response.status_code, response.json()["code"]) == (409, "schedule-state")
        assert (await patched(s, "wf_hail", {"status": "paused"})).json()["status"] == "paused"


async def test_bearer_of_a_resource_has_only_its_schedules():
    """A token that is bound to a resource makes and sees only schedules of that one."""
    secret = "a secret of more than twenty characters"
    own = Token.of(secret, name="ada", scope="run", resource_id="ada")
    async with site(tokens=[own], headers={"authorization": f"Bearer {secret}"}) as s:
        mine = await made(s, id="mine", resourceId="bob")
        assert mine["resourceId"] == "ada"
        assert (await patched(s, "mine", {"resourceId": "bob"})).json()["resourceId"] == "ada"
        await s.app.schedules.create(GREET, Schedule("@daily", input_data="bob", resource_id="bob"), id="theirs")

        assert [each["id"] for each in (await s.get("/schedules")).json()["schedules"]] == ["mine"]
        for response in (
            await s.get("/schedules/theirs"),
            await s.get("/schedules/theirs/triggers"),
            await s.post("/schedules/theirs/run"),
            await patched(s, "theirs", {"cron": "@hourly"}),
            await s.client.delete("/api/schedules/theirs"),
        ):
            assert (response.status_code, response.json()["code"]) == (403, "foreign-schedule")


async def test_reader_may_not_change_schedules():
    """What changes something needs the scope `run`."""
    secret = "a secret of more than twenty characters"
    reader = Token.of(secret, name="eve", scope="read")
    async with site(tokens=[reader], headers={"authorization": f"Bearer {secret}"}) as s:
        assert (await s.get("/schedules")).status_code == 200
        for verb in ("", "/mine/pause", "/mine/resume", "/mine/run"):
            assert (await s.post(f"/schedules{verb}", DAILY)).status_code == 403


async def test_schedule_is_shown_where_the_data_of_its_zone_is_missing(monkeypatch: pytest.MonkeyPatch):
    """It was checked where it was made; only what needs its next time cannot be done here."""
    async with site(GREET) as s:
        transport = httpx.ASGITransport(create_app(s.app))
        async with Client("http://127.0.0.1:4111", transport=transport) as client:
            schedule = Schedule("0 9 * * *", timezone="Europe/Berlin", input_data="ada")
            made = await s.app.schedules.create(GREET, schedule, id="mine")
            paused = await s.app.schedules.pause("mine")
            find_zone.cache_clear()
            monkeypatch.setattr("outlast.scheduling.cron.ZoneInfo", _no_zone)

            assert (await s.app.schedules.list()).schedules == (paused,)
            assert (await client.schedules.list()).schedules == (paused,)
            assert (await s.get("/schedules/mine")).json()["timezone"] == made.schedule.timezone == "Europe/Berlin"
            for schedules in (s.app.schedules, client.schedules):
                with pytest.raises(InputError, match="this machine has no time zone 'Europe/Berlin'"):
                    await schedules.resume("mine")
            assert await s.app.schedules.get("mine") == paused
    find_zone.cache_clear()


def _no_zone(name: str) -> NoReturn:
    raise ZoneInfoNotFoundError(name)


async def test_client_has_the_verbs_of_the_app():
    """16.1: what a program gets from the client is what it would get in process."""
    async with site(GREET, DECLARED) as s:
        transport = httpx.ASGITransport(create_app(s.app))
        async with Client("http://127.0.0.1:4111", transport=transport) as client:
            schedule = Schedule(
                every=timedelta(hours=1),
                input_data="ada",
                jitter=5,
                tags=("night",),
                start=datetime(2030, 1, 1, tzinfo=UTC),
                end=datetime(2031, 1, 1, tzinfo=UTC),
                overlap="allow",
                catch_up="all",
                request_context={"tenant": "a"},
                metadata={"owner": "ops"},
            )
            remote = await client.schedules.create(GREET, schedule, id="mine")
            local = await s.app.schedules.get("mine")
            assert local is not None
            assert remote == local
            assert remote.to_dict() == local.to_dict()
            assert remote.next_at == datetime(2030, 1, 1, tzinfo=UTC)

            changed = await client.schedules.update(
                "mine", Schedule(at=datetime(2032, 1, 1, tzinfo=UTC), input_data="b")
            )
            assert changed.schedule.at == datetime(2032, 1, 1, tzinfo=UTC)
            assert changed.schedule.every is None
            assert (await client.schedules.pause("mine")).status == "paused"
            assert (await client.schedules.resume("mine")).status == "active"
            trigger = await client.schedules.run_now("mine")
            assert (await s.app.schedules.triggers("mine")) == (trigger,)
            await eventually(lambda: client.run(str(trigger.run_id)).result())

            page = await client.schedules.list(per_page=1)
            assert [each.id for each in page.schedules] == ["mine"]
            assert [each.id for each in (await client.schedules.list(after=page.after)).schedules] == ["wf_hail"]
            with pytest.raises(ScheduleExistsError):
                await client.schedules.create("greet", Schedule("@daily", input_data="ada"), id="mine")
            with pytest.raises(InputError):
                await client.schedules.create("greet", Schedule("@daily", input_data=5))
            with pytest.raises(ScheduleStateError):
                await client.schedules.delete("wf_hail")
            with pytest.raises(ScheduleNotFoundError):
                await client.schedules.triggers("nobody")
            await client.schedules.delete("mine")
            await client.schedules.delete("mine")
            assert await client.schedules.get("mine") is None
