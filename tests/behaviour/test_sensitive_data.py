"""Sensitive data: bodies and callers with the keys see it in clear, and what is recorded does not hold it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, SecretStr, field_validator

from behaviour.bench import Bench, begin, has_status
from eventually import eventually
from outlast import (
    Add,
    Append,
    CommittedWorkflow,
    Concurrency,
    ConfigurationError,
    DefinitionError,
    InputError,
    Keyring,
    MissingKeyError,
    Outlast,
    ReadContext,
    Schedule,
    SealBrokenError,
    Sensitive,
    StartInfo,
    StepContext,
    Workflow,
    from_context,
    from_state,
    from_step,
    step,
    template,
)
from outlast.engines.capability import Capability
from outlast.graph.state import StateType
from outlast.sealing import MASK

KEY, OLD_KEY = (b64encode(letter * 32).decode() for letter in (b"n", b"o"))
KEYS = Keyring({"new": KEY})

CARD, PIN, PASSWORD, TOKEN = "card-4111-2222", 98765431, "pass-wörd-77", "token-abc-xyz"
NOTE, ANSWER, QUESTION, HEADER = "note-qwertz", "answer-0815", "question-4711", "hdr-6543"
SECRETS = (CARD, str(PIN), PASSWORD, TOKEN, NOTE, ANSWER, QUESTION, HEADER)


class Payment(BaseModel):
    card: Annotated[str, Sensitive]
    pin: Annotated[int, Sensitive]
    password: SecretStr
    amount: int = 1


class Vault(BaseModel):
    token: Annotated[str, Sensitive] = ""
    notes: Annotated[list[Annotated[str, Sensitive]], Append] = []


class Question(BaseModel):
    text: Annotated[str, Sensitive]


class Context(BaseModel):
    header: Annotated[str, Sensitive]


PAYMENT = Payment(card=CARD, pin=PIN, password=SecretStr(PASSWORD))


@step(state=Vault)
async def remember(payment: Payment, ctx: StepContext) -> Payment:
    assert ctx.request_context["header"] == HEADER
    ctx.set_state({"token": TOKEN, "notes": NOTE})
    return payment


@step(retries=1, state=Vault)
def charge(payment: Payment, ctx: StepContext) -> dict[str, str]:
    assert (payment.card, payment.pin, payment.password.get_secret_value()) == (CARD, PIN, PASSWORD)
    assert (ctx.state.token, ctx.state.notes) == (TOKEN, [NOTE])
    if ctx.attempt == 0:
        raise ValueError(f"declined: {payment.card!r}, {payment.pin}, {ctx.state.token}")
    return {"receipt": f"for {payment.card}"}  # not declared as sensitive, and sealed all the same


@step(suspend=Question, resume=Annotated[str, Sensitive])
async def ask(payment: Payment, ctx: StepContext) -> Annotated[str, Sensitive]:
    if not ctx.resumed:
        ctx.suspend(Question(text=QUESTION))
    assert ctx.suspend_data.text == QUESTION
    return str(ctx.resume_data)


@step
async def untyped(value: Any) -> Any:
    cards = {"card": CARD, "pin": PIN, "text": f"<{CARD}>", "all": [CARD, CARD]}
    assert value == {**cards, "token": TOKEN, "header": HEADER, "answer": ANSWER}
    return {"kept": value, "some": [value["pin"]]}


@step
async def each(card: Annotated[str, Sensitive]) -> Annotated[str, Sensitive]:
    assert card == CARD
    return card


async def take_cards(ctx: ReadContext[Any]) -> list[str]:
    payment = await ctx.get_step_result(remember)
    return [payment.card, payment.card] if payment else []


PLACES = (
    Workflow("places", input=Payment, state=Vault, request_context=Context)
    .then(remember)
    .parallel([charge, ask], id="both")
    .map(take_cards, id="cards")
    .foreach(each)
    .map(
        {
            "card": from_step(remember, "card"),
            "pin": from_step("remember", "pin"),
            "text": template("<${stepResults.remember.card}>"),
            "token": from_state("token"),
            "header": from_context("header"),
            "answer": from_step("ask"),
            "all": from_step("each"),
        },
        id="gather",
    )
    .branch([(lambda ctx: ctx.input["pin"] == PIN, untyped)])
    .commit()
)


def assert_sealed(records: Any) -> None:
    for record in records:
        text = ((record.body or b"") + (record.payload or b"")).decode()
        assert not [secret for secret in SECRETS if secret in text], f"{record.type} holds a secret: {text}"


async def test_bodies_see_sensitive_values_in_clear_and_the_journal_holds_none_of_them(bench: Bench):
    async with bench.app(PLACES, keys=KEYS) as app:
        run = await begin(app, PLACES, PAYMENT, request_context={"header": HEADER})
        await eventually(lambda: has_status(run, "suspended"))
        asked = await run.snapshot()
        result = await run.resume(ANSWER, step="ask")

    assert asked.suspend_payload == {"ask": {"text": QUESTION}}
    assert result.status == "success", result.error
    assert result.unwrap()["untyped"]["some"] == [PIN]
    assert result.input["card"] == CARD
    assert result.steps["charge"].output == {"receipt": f"for {CARD}"}
    assert_sealed(await bench.journal(run.run_id))


async def test_what_a_body_raises_is_recorded_with_masks(bench: Bench):
    @step
    async def boom(payment: Payment) -> None:
        error = ValueError(f"{payment.card} and {payment.pin}")
        error.details = {"card": payment.card, "pin": payment.pin, payment.card: 1}  # type: ignore[attr-defined]
        Payment.model_validate({"card": payment.card + "!" * 60, "pin": "no"})
        raise error

    @step
    async def bang(payment: Payment) -> None:
        error = ValueError(f"{payment.card} and {payment.pin}")
        error.details = {"card": payment.card, "pin": payment.pin, payment.card: 1}  # type: ignore[attr-defined]
        raise error from KeyError(payment.password.get_secret_value())

    for body in (boom, bang):
        failing = Workflow(f"failing-{body.id}", input=Payment).then(body).commit()
        async with bench.app(failing, keys=KEYS) as app:
            run = await begin(app, failing, PAYMENT)
            result = await run.result()

        assert result.status == "failed"
        assert result.error is not None
        assert not [secret for secret in SECRETS if secret in repr(result.error)]
        assert CARD[:6] not in repr(result.error.message)
        assert_sealed(await bench.journal(run.run_id))


async def test_errors_about_inputs_do_not_quote_them(bench: Bench):
    class Checked(BaseModel):
        card: Annotated[str, Sensitive]

        @field_validator("card")
        @classmethod
        def refuse(cls, value: str) -> str:
            raise ValueError(f"{value} is no card")

    workflow = _passing("checked", Checked)

    async with bench.app(workflow, keys=KEYS) as app:
        run = await app.create_run(workflow)
        with pytest.raises(InputError) as refused:
            await run.start_async(input_data={"card": CARD})  # type: ignore[arg-type]

    assert "card: it does not fit" in str(refused.value)
    assert CARD not in str(refused.value)


async def test_sealed_text_from_outside_is_refused(bench: Bench):
    """Whoever saw a sealed value somewhere must not get it opened by handing it in as a plain one."""
    workflow = Workflow("doors", input=dict[str, Any], state=Vault).then(step(_give_back, id="give_back")).commit()
    text = "outlast:sealed:1:new:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo"

    async with bench.app(workflow, keys=KEYS) as app:
        run = await app.create_run(workflow)
        with pytest.raises(InputError, match="reserved"):
            await run.start_async(input_data={"x": [text]})
        with pytest.raises(InputError, match="reserved"):
            await run.start_async(input_data={"x": 1}, request_context={text: 1})


async def test_value_sealed_with_an_old_key_opens_after_rotation(bench: Bench):
    workflow = _waiting("rotating")
    async with bench.app(workflow, keys=Keyring({"old": OLD_KEY})) as app:
        run = await begin(app, workflow, PAYMENT)
        await eventually(lambda: has_status(run, "suspended"))

    async with bench.app(workflow, keys=Keyring({"new": KEY, "old": OLD_KEY})) as app:
        result = await app.run(run.run_id).resume()

    assert result.unwrap() == {"card": CARD, "pin": PIN, "password": PASSWORD, "amount": 1}
    journal = b"".join((record.payload or b"") for record in await bench.journal(run.run_id))
    assert b":old:" in journal
    assert b":new:" in journal


async def test_missing_key_is_named_with_the_way_out(bench: Bench):
    workflow = _waiting("losing")
    async with bench.app(workflow, keys=Keyring({"old": OLD_KEY})) as app:
        run = await begin(app, workflow, PAYMENT)
        await eventually(lambda: has_status(run, "suspended"))

    async with bench.app(workflow, keys=KEYS) as app:
        handle = app.run(run.run_id)
        with pytest.raises(MissingKeyError, match="'old', which is not in the keyring; add it"):
            await handle.snapshot()
        masked = await handle.masked().snapshot()
        await handle.resume_async()
        await eventually(lambda: has_status(handle, "failed"))
        failed = await handle.masked().result()

    assert masked.input == {"card": MASK, "pin": MASK, "password": MASK, "amount": 1}
    assert failed.error is not None
    assert failed.error.type == "MissingKeyError"


async def test_value_does_not_open_with_another_key_of_the_same_id(bench: Bench):
    workflow = _waiting("mixing")
    async with bench.app(workflow, keys=Keyring({"new": OLD_KEY})) as app:
        run = await begin(app, workflow, PAYMENT)
        await eventually(lambda: has_status(run, "suspended"))

    async with bench.app(workflow, keys=KEYS) as app:
        with pytest.raises(SealBrokenError, match="give each key an id of its own"):
            await app.run(run.run_id).snapshot()


async def test_keys_of_the_request_context_are_not_stored_if_named(bench: Bench):
    seen: list[Any] = []

    @step
    async def look(value: int, ctx: StepContext) -> int:
        seen.append(dict(ctx.request_context))
        return value

    @step
    async def pause(value: int, ctx: StepContext) -> int:
        if not ctx.resumed:
            ctx.suspend()
        return value

    workflow = Workflow("unstored", input=int).then(pause).then(look).commit()
    async with bench.app(workflow, unstored_context=["authorization"]) as app:
        run = await begin(app, workflow, 1, request_context={"authorization": "Bearer 1a2b", "user": "ada"})
        await eventually(lambda: has_status(run, "suspended"))
        await run.resume(request_context={"authorization": "Bearer 3c4d", "city": "Paris"})

    assert seen == [{"user": "ada", "city": "Paris"}]
    journal = b"".join((record.body or b"") for record in await bench.journal(run.run_id))
    assert b"Bearer" not in journal


@pytest.mark.requires(Capability.SAYING)
async def test_what_bodies_say_is_sealed_and_shown_masked(bench: Bench):
    @step
    async def talk(payment: Payment, ctx: StepContext) -> None:
        await ctx.write({"card": payment.card, "line": f"now {payment.card}"})
        await ctx.progress(1, 2, f"charging {payment.card}")
        await ctx.emit("data-payment", payment)

    workflow = Workflow("talking", input=Payment).then(talk).commit()
    async with bench.app(workflow, keys=KEYS) as app:
        run = await begin(app, workflow, PAYMENT)
        await run.result()
        events = [event.to_dict() async for event in run.events()]

    assert {"card": MASK, "line": MASK} in [event["payload"].get("output") for event in events]  # type: ignore[union-attr]
    assert not [secret for secret in SECRETS if secret in repr(events)]
    assert_sealed(await bench.journal(run.run_id))


@pytest.mark.requires(Capability.REWINDING)
async def test_forks_and_time_travel_keep_sensitive_values_sealed_and_readable(bench: Bench):
    workflow = _waiting("forking")
    async with bench.app(workflow, keys=KEYS) as app:
        run = await begin(app, workflow, PAYMENT)
        await eventually(lambda: has_status(run, "suspended"))
        fork = await run.fork_async("pause")
        await eventually(lambda: has_status(fork, "suspended"))
        forked = await fork.resume()
        given = Payment(card=TOKEN, pin=PIN, password=SecretStr(NOTE))
        back = await run.time_travel("pause", input_data=given)
        traveled = await run.resume()

    assert forked.unwrap() == PAYMENT
    assert back.status == "suspended"
    assert traveled.unwrap() == given
    assert_sealed([*await bench.journal(run.run_id), *await bench.journal(fork.run_id)])


async def test_hooks_see_sensitive_values_in_clear_and_their_failures_are_masked(bench: Bench):
    told: list[str] = []
    begun: list[Any] = []

    def on_start(info: StartInfo) -> None:
        begun.append((info.input.card, info.request_context))

    def on_finish(result: Any) -> None:
        told.append(result.steps["give_back"].output["card"])
        raise ValueError(f"cannot tell of {result.input['card']}")

    @step
    async def give_back(payment: Payment) -> Payment:
        return payment

    workflow = (
        Workflow(
            "telling", input=Payment, output=Payment, request_context=Context, on_start=on_start, on_finish=on_finish
        )
        .then(give_back)
        .commit()
    )
    async with bench.app(workflow, keys=KEYS) as app:
        run = await begin(app, workflow, PAYMENT, request_context={"header": HEADER})
        await eventually(lambda: bool(told))

        async def has_failed() -> bool:
            return any(each.error is not None for each in await run.deliveries())

        await eventually(has_failed)
        (due,) = await run.deliveries()

    assert begun == [(CARD, {"header": HEADER})]
    assert told[0] == CARD
    assert due.error is not None
    assert due.error.message == f"cannot tell of {MASK}"


async def test_schedule_keeps_sensitive_values_sealed_and_its_runs_get_them_in_clear(bench: Bench):
    @step
    async def give_back(payment: Payment) -> Payment:
        return payment

    workflow = Workflow("scheduled", input=Payment, output=Payment).then(give_back).commit()
    async with bench.app(workflow, keys=KEYS) as app:
        made = await app.schedules.create(workflow, Schedule(every=3600, input_data=PAYMENT), id="hourly")
        changed = await app.schedules.update("hourly", lambda known: replace(known, every=1800))
        trigger = await app.schedules.run_now("hourly")
        result = await app.run(str(trigger.run_id)).result(timeout=20)
        stored = await app.engine.schedules.store.find("hourly")

    assert result.unwrap()["card"] == CARD
    assert made.schedule.input_data == changed.schedule.input_data
    assert changed.schedule.input_data == {"card": MASK, "pin": MASK, "password": MASK, "amount": 1}
    assert stored is not None
    assert not [secret for secret in SECRETS if secret.encode() in stored.plan]


def test_schedule_in_code_has_no_sensitive_values():
    with pytest.raises(DefinitionError, match="code is no place for them"):
        Workflow("coded", input=Payment, schedule=Schedule(every=60, input_data=PAYMENT)).then(_pass_on).commit()


@pytest.mark.requires(Capability.IDEMPOTENCY_KEYS)
async def test_idempotency_key_tells_sensitive_inputs_apart(bench: Bench):
    workflow = _waiting("once")
    other = PAYMENT.model_copy(update={"card": "another"})
    async with bench.app(workflow, keys=KEYS) as app:
        first = await begin(app, workflow, PAYMENT, idempotency_key="k")
        same = await begin(app, workflow, PAYMENT, idempotency_key="k")
        with pytest.raises(Exception, match="other input"):
            await begin(app, workflow, other, idempotency_key="k")

    assert same.run_id == first.run_id


def test_workflow_with_sensitive_types_is_refused_without_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OUTLAST_KEYS", raising=False)

    with pytest.raises(ConfigurationError, match="'places' declares sensitive types, and there are no keys"):
        Outlast([PLACES], store="memory")


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OUTLAST_KEYS", f"new:{KEY}, old:{OLD_KEY}")

    keys = Keyring.from_environment()

    assert keys is not None
    assert keys.ids == ("new", "old")
    Outlast([PLACES], store="memory")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("abc", "needs pairs"),
        ("k:abc", "OUTLAST_KEYS: the key 'k' is not 32 bytes"),
        (f"k:{KEY},k:{KEY}", "each id once"),
        (f"k?:{KEY}", "letters, digits"),
    ],
)
def test_unusable_keys_are_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, text: str, reason: str):
    monkeypatch.setenv("OUTLAST_KEYS", text)

    with pytest.raises(ConfigurationError, match=reason) as refused:
        Keyring.from_environment()

    assert KEY not in str(refused.value)


def test_step_that_takes_sensitive_input_needs_a_workflow_that_does():
    with pytest.raises(DefinitionError, match="recorded in clear"):
        Workflow("open-door").then(remember).commit()


def test_sensitive_part_of_the_request_context_needs_a_workflow_that_declares_it():
    @step(request_context=Context)
    async def look(value: int) -> int:
        return value

    workflow = Workflow("open-context", input=int).then(look).commit()

    with pytest.raises(DefinitionError, match="records in clear"):
        Outlast([workflow], store="memory", keys=KEYS)


def test_foreach_over_one_sealed_list_is_refused():
    with pytest.raises(DefinitionError, match="mark the items"):
        Workflow("sealed-list", input=Annotated[list[str], Sensitive]).foreach(each).commit()  # type: ignore[arg-type]


def test_reducers_that_compute_are_refused_on_sensitive_fields():
    class Sums(BaseModel):
        total: Annotated[int, Sensitive, Add] = 0

    with pytest.raises(DefinitionError, match="cannot merge what it cannot read"):
        StateType.of(Sums)


@step
async def _pass_on(payment: Payment) -> Payment:
    return payment


async def _give_back(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _passing(name: str, kind: type[BaseModel]) -> CommittedWorkflow[Any, Any]:
    async def take(value: Any) -> None:
        """Take anything."""

    take.__annotations__ = {"value": kind}
    return Workflow(name, input=kind).then(step(take)).commit()


def _waiting(name: str) -> CommittedWorkflow[Any, Any]:
    """Return a workflow that gives its input back after it was resumed."""

    @step
    async def pause(payment: Payment, ctx: StepContext) -> Payment:
        if not ctx.resumed:
            ctx.suspend()
        return payment

    return Workflow(name, input=Payment, output=Payment).then(pause).commit()


async def test_run_with_sensitive_values_is_resumed_only_where_its_types_are_known(bench: Bench):
    """A process that has the store alone would record the resume data in clear."""
    workflow = _waiting("unknown")
    async with bench.app(workflow, keys=KEYS) as app:
        run = await begin(app, workflow, PAYMENT)
        await eventually(lambda: has_status(run, "suspended"))

    async with bench.app(worker=False) as stranger:
        shown = await stranger.run(run.run_id).snapshot()
        with pytest.raises(ConfigurationError, match="in an app that has the workflow and its keys"):
            await stranger.run(run.run_id).resume_async(CARD)

    assert shown.input == {"card": MASK, "pin": MASK, "password": MASK, "amount": 1}


async def test_run_that_will_hold_sensitive_values_is_resumed_only_where_its_types_are_known(bench: Bench):
    """Nothing of it is sealed yet: what tells is its graph."""
    workflow = Workflow("asks-later", input=int).wait_for("payment", resume=Payment).commit()
    async with bench.app(workflow, keys=KEYS) as app:
        run = await begin(app, workflow, 1)
        await eventually(lambda: has_status(run, "suspended"))

    async with bench.app(worker=False) as stranger:
        with pytest.raises(ConfigurationError, match="in an app that has the workflow and its keys"):
            await stranger.run(run.run_id).resume_async(PAYMENT.model_dump(mode="json"))
        assert await stranger.run(run.run_id).status() == "suspended"


@pytest.mark.requires(Capability.KEYED_LIMITS)
async def test_sensitive_value_as_key_of_a_limit_is_refused(bench: Bench):
    for number, key in enumerate(["card", lambda payment: f"of {payment.card}"]):
        workflow = (
            Workflow(f"limited-{number}", input=Payment, concurrency=Concurrency(limit=1, key=key))  # type: ignore[arg-type]
            .then(_pass_on)
            .commit()
        )
        async with bench.app(workflow, keys=KEYS) as app:
            with pytest.raises(InputError, match="keys of limits are recorded in clear"):
                await begin(app, workflow, PAYMENT)
