from __future__ import annotations

import pytest

from cli.terminal import Terminal
from outlast import Keyring
from outlast.sealing import MASK

PAY = """
from typing import Annotated

from pydantic import BaseModel

from outlast import Outlast, Sensitive, Workflow, step


class Payment(BaseModel):
    card: Annotated[str, Sensitive]
    amount: int


@step(resume=Annotated[str, Sensitive])
async def charge(payment: Payment) -> Payment:
    if payment.amount > 100:
        raise ValueError(f"too much for {payment.card}")
    return payment


pay = Workflow("pay", input=Payment, output=Payment).then(charge).commit()
app = Outlast([pay], store="pay.db")
"""
APP = ("--app", "pay:app")


def test_nothing_that_the_command_line_writes_shows_a_sensitive_value(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OUTLAST_KEYS", f"k:{Keyring.new_key()}")
    (terminal.directory / "pay.py").write_text(PAY)

    def start(amount: int, run_id: str) -> str:
        given = f'{{"card": "card-4111", "amount": {amount}}}'
        answer = terminal.type("run", "start", "pay", "--id", run_id, "--input", given, "--work", *APP)
        return answer.out + answer.err

    written = [start(5, "good"), start(500, "bad")]
    shown = terminal.type("run", "show", "good", "--json", *APP)
    for words in (("show", "good"), ("show", "bad"), ("show", "bad", "--traceback"), ("why", "bad"), ("watch", "good")):
        answer = terminal.type("run", *words, *APP)
        written.append(answer.out + answer.err)

    assert shown.json["result"] == {"card": MASK, "amount": 5}
    assert f"too much for {MASK}" in written[1]
    assert not [text for text in [*written, shown.out] if "card-4111" in text]


def test_app_with_sensitive_types_and_without_keys_is_refused_with_the_way_out(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OUTLAST_KEYS", raising=False)
    (terminal.directory / "pay.py").write_text(PAY)

    answer = terminal.type("run", "list", *APP)

    assert answer.exit != 0
    assert "declares sensitive types, and there are no keys" in answer.err
    assert "OUTLAST_KEYS=2026-05:<key>" in answer.err.replace("\n", "")
