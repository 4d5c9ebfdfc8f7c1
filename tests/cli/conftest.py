from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.terminal import Terminal

SHOP = '''
import asyncio
from pathlib import Path

from outlast import Outlast, Workflow, step


@step
async def price(order: dict[str, int]) -> float:
    """Add up an order."""
    return order["n"] * 2.5


@step(retries=1)
async def pack(total: float) -> str:
    if total > 100:
        raise ValueError("too [red]heavy[/red]\\x1b[2J")
    return f"box of {total}"


@step
async def hold(name: str) -> str:
    Path(name).touch()
    while not Path(f"{name}.go").exists():
        await asyncio.sleep(0.005)
    return name


order = (
    Workflow("order", input=dict[str, int], output=str, description="Prices and packs.")
    .then(price)
    .then(pack)
    .commit()
)
approval = Workflow("approval", input=str, output=int).wait_for("ok", resume=int, payload={"question": "?"}).commit()
slow = Workflow("slow", input=str, output=str).then(hold).commit()
app = Outlast([order, approval, slow], store="shop.db")
'''


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal in an empty directory, 80 columns wide, with `shop.py` in it; what is imported there is forgotten."""
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("OUTLAST_APP", "OUTLAST_STORE", "OUTLAST_URL", "OUTLAST_TOKEN", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    before = set(sys.modules)
    yield Terminal(tmp_path)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
