"""What cannot be a schedule is refused where it is written (rules 1.3, 16.1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from outlast import DefinitionError, Outlast, Schedule, Workflow, step
from outlast.scheduling.deciding import Queued
from outlast.scheduling.plan import Memory, Plan, plan_of


@step
async def shout(name: str) -> str:
    return name.upper()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "exactly one of cron, every and at is needed, not none"),
        ({"cron": "* * * * *", "every": 5}, "exactly one of cron, every and at is needed, not cron and every"),
        ({"cron": "61 * * * *"}, "'61 * * * *' is no cron expression: bad minute"),
        ({"cron": "* * * *"}, "is no cron expression: wrong number of fields"),
        ({"cron": ""}, "is no cron expression"),
        ({"cron": "@often"}, "'@often' is none of @hourly"),
        ({"cron": "0 0 30 2 *"}, "day-of-month"),
        ({"cron": "0 0 */20 * 1L"}, "never comes"),
        ({"cron": 5}, "cron=5 must be a text"),
        ({"cron": "@daily", "timezone": "Europe/Nowhere"}, "no time zone 'Europe/Nowhere'"),
        ({"cron": "@daily", "timezone": "../etc/passwd"}, "no time zone"),
        ({"every": 5, "timezone": "Europe/Berlin"}, "timezone='Europe/Berlin' is for cron"),
        ({"every": 0.5}, "every=0.5 must be between 1 second and 3,660 days"),
        ({"every": True}, "every=True must be a timedelta or seconds"),
        ({"at": datetime(2030, 1, 1)}, "must be a datetime with a time zone"),  # noqa: DTZ001 - the point
        ({"cron": "@daily", "jitter": timedelta(days=2)}, "must be between 0 seconds and 86,400 seconds"),
        ({"cron": "@daily", "overlap": "both"}, "overlap='both' is none of skip, queue, cancel, allow"),
        ({"cron": "@daily", "catch_up": "some"}, "catch_up='some' is none of one, all, none"),
        ({"cron": "@daily", "metadata": {"rate": float("inf")}}, "metadata cannot be recorded: rate: inf is not JSON"),
        ({"cron": "@daily", "metadata": ["ops"]}, "metadata=['ops'] must be an object of JSON"),
        ({"cron": "@daily", "id": "a b"}, "id='a b' needs 1 to 40 letters"),
        (
            {
                "cron": "@yearly",
                "start": datetime(2030, 2, 1, tzinfo=UTC),
                "end": datetime(2030, 3, 1, tzinfo=UTC),
            },
            "no time lies between its start and its end",
        ),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], reason: str) -> None:
    """1.3: bad cron or zone, and how to mend it."""
    with pytest.raises(DefinitionError) as caught:
        Schedule(**options)

    assert reason in str(caught.value)


def test_missing_zone_data_is_named() -> None:
    """16.1: where a machine has no zone data, the message says what to install."""
    with pytest.raises(DefinitionError, match="pip install tzdata"):
        Schedule("@daily", timezone="Europe/Nowhere")


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        (Schedule("@daily", input_data=5), "the schedule has input_data that does not fit str"),
        ("@daily", "schedule='@daily'; give a Schedule"),
        ([Schedule("@daily"), Schedule("@hourly", id="b")], "give each an id of its own"),
        ([Schedule("@daily", id="a"), Schedule("@hourly", id="a")], "give each an id of its own"),
    ],
)
def test_schedule_that_does_not_fit_its_workflow_is_refused(schedule: Any, reason: str) -> None:
    """1.3: at the definition or commit, never mid-run."""
    with pytest.raises(DefinitionError) as caught:
        Workflow("greet", input=str, output=str, schedule=schedule).then(shout).commit()

    assert reason in str(caught.value)


def test_schedules_of_two_workflows_never_have_one_id() -> None:
    """16.1: both would be `wf_greet__soon`, and one of them would never fire."""
    one = Workflow("greet", input=str, schedule=Schedule("@daily", input_data="ada", id="soon")).then(shout)
    other = Workflow("greet__soon", input=str, schedule=Schedule("@hourly", input_data="ada")).then(shout)

    with pytest.raises(DefinitionError, match=r"'greet' and 'greet__soon' would both be called 'wf_greet__soon'"):
        Outlast([one.commit(), other.commit()], store="memory")


def test_clone_keeps_the_schedules() -> None:
    """1.6: everything but the id."""
    workflow = Workflow("greet", input=str, schedule=Schedule("@daily", input_data="ada")).then(shout).commit()

    assert workflow.clone(id="other").schedules == workflow.schedules
    assert workflow.fingerprint == Workflow("greet", input=str).then(shout).commit().fingerprint


def test_plans_and_memories_survive_storing() -> None:
    """16.3: what is stored is what was said."""
    schedule = Schedule(
        "0 0 9 * * MON-FRI",
        timezone="Europe/Berlin",
        tags=["night"],
        overlap="queue",
        catch_up="all",
        jitter=timedelta(seconds=30),
        start=datetime(2030, 1, 1, tzinfo=UTC),
        end=datetime(2031, 1, 1, tzinfo=UTC),
        resource_id="customer-1",
        metadata={"owner": "ops"},
    )
    plan = plan_of(schedule, input={"n": 1}, state=None, request_context={"tenant": "a"})
    memory = Memory(next_ms=5, last_ms=4, last_run_id="r", active=("r",), queued=(Queued(1, 3),), is_paused=True)

    assert Plan.from_bytes(plan.to_bytes()) == plan
    assert plan.to_schedule().to_timing() == plan.timing
    assert Memory.from_bytes(memory.to_bytes()) == memory
