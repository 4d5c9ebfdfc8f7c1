"""Where sensitive values must not be: in the files of the store, in what processes write, in answers, in spans."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

from outlast import Keyring, Outlast, OutputOptions, Sensitive, StepContext, TracingOptions, Workflow, step
from outlast.sealing import MASK, Disclosure
from server.site import site

KEY = Keyring.new_key()
KEYS = Keyring({"k": KEY})
CARD, PIN = "card-4111-zq", 98765431

PROGRAM = (
    """
import asyncio, logging, os, sys
from typing import Annotated
from pydantic import BaseModel, SecretStr
from outlast import Append, Outlast, OutputOptions, Sensitive, StepContext, Workflow, from_step, step, template

logging.basicConfig(level=logging.DEBUG)


class Payment(BaseModel):
    card: Annotated[str, Sensitive]
    pin: Annotated[int, Sensitive]
    password: SecretStr


class Vault(BaseModel):
    notes: Annotated[list[Annotated[str, Sensitive]], Append] = []


@step(state=Vault, retries=1)
async def charge(payment: Payment, ctx: StepContext) -> Payment:
    ctx.set_state({"notes": f"note of {payment.card}"})
    ctx.logger.info("charging %s with %d", payment.card, payment.pin)
    ctx.write({"card": payment.card})
    ctx.progress(1, 2, f"charging {payment.card}")
    if ctx.attempt == 0:
        try:
            raise ValueError(payment.password.get_secret_value())
        except ValueError:
            ctx.logger.exception("declined")
            raise
    return payment


@step(suspend=Payment, resume=Payment)
async def ask(payment: Payment, ctx: StepContext) -> list[Payment]:
    if not ctx.resumed:
        ctx.suspend(payment)
    return [ctx.resume_data, payment]


@step
async def each(payment: Payment) -> Payment:
    return payment


@step
async def fail(value: object) -> None:
    raise RuntimeError(f"cannot end: {value}")


def on_error(result):
    raise RuntimeError(f"cannot tell: {result.input}")


pay = (
    Workflow("pay", input=Payment, state=Vault, request_context=Payment, on_error=on_error)
    .then(charge)
    .then(ask)
    .foreach(each)
    .map({"cards": from_step("each"), "text": template("<${stepResults.charge.card}>")}, id="gather")
    .map(lambda ctx: {"again": ctx.input["cards"][0]["card"]}, id="again")
    .then(fail)
    .commit()
)
app = Outlast([pay], store=sys.argv[1] if len(sys.argv) > 1 else "pay.db")


async def main() -> None:
    card, password = "CARD".replace("_", "-"), "PASS".replace("_", "-")  # so that no line of a traceback has them
    given = {"card": card, "pin": PIN, "password": password}
    async with app:
        run = await pay.create_run(run_id="r")
        options = OutputOptions(include_state=True)
        await run.start(input_data=given, request_context=given, output_options=options)
        result = await app.run("r").resume({**given, "card": f"{card}-two"})
        assert result.status == "failed", result
        assert result.state["notes"] == [f"note of {card}"], result.state
        fork = await app.run("r").fork("ask")
        back = await app.run("r").time_travel("ask", input_data={**given, "card": f"{card}-three"})
        assert (fork.status, back.status) == ("suspended", "suspended")
        try:
            await (await pay.create_run()).start(input_data={**given, "pin": card})
        except Exception:
            logging.exception("refused")
        await app.until_idle()
        os.kill(os.getpid(), 9)  # so that the log of writes stays


if __name__ == "__main__":
    asyncio.run(main())
""".replace("CARD", CARD)
    .replace("PIN", str(PIN))
    .replace("PASS", "pass-w0rd-zq")
)
SECRETS = (CARD, str(PIN), "pass-w0rd-zq")


class Payment(BaseModel):
    card: Annotated[str, Sensitive]
    pin: Annotated[int, Sensitive]


@step(retries=1)
async def charge(payment: Payment, ctx: StepContext) -> Payment:
    if ctx.attempt == 0:
        raise ValueError(f"declined: {payment.card}")
    await ctx.write({"card": payment.card})
    ctx.set_state({"card": payment.card})
    return payment


@step(resume=Payment)
async def ask(payment: Payment, ctx: StepContext) -> Payment:
    if not ctx.resumed:
        ctx.suspend({"of": payment.card})
    return payment


PAY = Workflow("pay", input=Payment, output=Payment, request_context=Payment).then(charge).then(ask).commit()
GIVEN = {"card": CARD, "pin": PIN}


def secrets_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAST_KEYS", f"k:{KEY}")


@pytest.mark.slow
def test_neither_the_files_nor_the_output_of_a_killed_process_hold_a_sensitive_value(tmp_path: Path, keys: None):
    program = tmp_path / "pay.py"
    program.write_text(PROGRAM)

    command = [sys.executable, program, tmp_path / "pay.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)

    assert done.returncode == -9, done.stderr
    files = {
        path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("pay.db") and path.is_file()
    }
    assert {"pay.db", "pay.db-wal"} <= files.keys()
    assert b"outlast:sealed:1:k:" in files["pay.db"] + files["pay.db-wal"]
    for name, content in files.items():
        assert not [secret for secret in SECRETS if secret.encode() in content], name
    assert "charging" in done.stderr
    assert "refused" in done.stderr
    assert not secrets_in(done.stdout + done.stderr)


async def test_answers_of_the_server_show_masks():
    async with site(PAY, keys=KEYS) as there:
        started = await there.post(
            "/workflows/pay/start-async?runId=r", {"inputData": GIVEN, "requestContext": GIVEN, "runId": "r"}
        )
        answers = [
            started,
            await there.get("/workflows/pay/runs/r"),
            await there.get("/workflows/pay/runs"),
            await there.get("/runs/r"),
            await there.post("/workflows/pay/observe-stream?runId=r"),
            await there.post("/workflows/pay/resume-async?runId=r", {"resumeData": GIVEN}),
            await there.post("/workflows/pay/start-async", {"inputData": {"card": {"x": CARD}, "pin": CARD}}),
        ]

    assert started.json()["status"] == "suspended", started.text
    assert answers[-2].json()["result"] == {"card": MASK, "pin": MASK}
    assert answers[-1].status_code == 400
    for answer in answers:
        assert not secrets_in(answer.text), answer.url


async def test_spans_show_masks():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with Outlast([PAY], store="memory", keys=KEYS, tracing=provider) as app:
        run = await app.create_run(PAY)
        options = TracingOptions(request_context_keys=["card"])
        await run.start(input_data=Payment(**GIVEN), request_context=GIVEN, tracing_options=options)  # type: ignore[arg-type]
        result = await app.run(run.run_id).resume(GIVEN)

    spans = [span.to_json() for span in exporter.get_finished_spans()]
    assert result.status == "success"
    assert len(spans) >= 6
    assert any(MASK in span for span in spans)
    assert not secrets_in("".join(spans))


async def test_log_records_of_a_body_are_masked(caplog: pytest.LogCaptureFixture):
    @step
    def talk(payment: Payment, ctx: StepContext) -> None:
        ctx.logger.warning("%s pays with %s", payment.card, payment.pin)
        ctx.logger.error("card %s", [payment.card])

    workflow = Workflow("talk", input=Payment).then(talk).commit()
    with caplog.at_level(logging.INFO, "outlast.run.talk"):
        async with Outlast([workflow], store="memory", keys=KEYS) as app:
            await (await app.create_run(workflow)).start(input_data=Payment(**GIVEN))  # type: ignore[arg-type]

    assert [record.getMessage() for record in caplog.records] == [f"{MASK} pays with {MASK}", f"card ['{MASK}']"]
    assert {record.funcName for record in caplog.records} == {"talk"}


async def test_plain_workflow_beside_a_sensitive_one_discloses_nothing(monkeypatch: pytest.MonkeyPatch):
    """What has no sensitive types pays for none of this: no disclosure is made, and no JSON is looked through."""
    made: list[Any] = []
    begin = Disclosure.__init__

    def note(self: Disclosure, sealer: Any) -> None:
        made.append(sealer)
        begin(self, sealer)

    monkeypatch.setattr(Disclosure, "__init__", note)

    @step
    async def add(x: int) -> int:
        return x + 1

    plain = Workflow("plain", input=int, output=int).then(add).then(add.clone(id="more")).commit()
    async with Outlast([plain, PAY], store="memory", keys=KEYS) as app:
        result = await (await app.create_run(plain)).start(
            input_data=1, output_options=OutputOptions(include_state=True)
        )

    assert result.unwrap() == 3
    assert made == []
