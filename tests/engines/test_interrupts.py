"""An interrupt in code of the author on the event loop ends the process, and no run is lost: rules 3.1, 9.5."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Final

import pytest

from engines.place import Place

PROGRAM: Final = dedent(
    """
    import asyncio, sys
    from datetime import timedelta
    from typing import Annotated
    from pydantic import AfterValidator
    from outlast import Outlast, Workflow, step

    path, place, is_calm = sys.argv[1], sys.argv[2], len(sys.argv) > 3
    is_armed = False

    def check(value: int) -> int:
        if is_armed and not is_calm:
            raise KeyboardInterrupt
        return value

    Checked = Annotated[int, AfterValidator(check)]

    @step
    async def add_one(x: int) -> int:
        global is_armed
        is_armed = True
        return x + 1

    @step
    async def read(x: Checked) -> int:
        return x

    @step
    async def write(x: int) -> Checked:
        return x

    inner = Workflow("inner", input=Checked if place == "nested" else int).then(read if place == "step" else add_one)
    builder = Workflow("w", input=Checked, output=Checked if place == "result" else int).then(add_one)
    if place == "map":
        builder = builder.map(lambda ctx: ctx.input).then(read)
    elif place == "output":
        builder = builder.then(write)
    else:
        builder = builder.then(inner.commit())
    workflow = builder.commit()

    async def main():
        global is_armed
        async with Outlast([workflow], store=path, drain=timedelta(seconds=60)) as app:
            if is_calm:
                print((await app.run("run").result(timeout=30)).status)
                return
            is_armed = place == "input"
            run = await app.create_run(workflow, run_id="run")
            await run.start(input_data=1)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("interrupted")
    """
)


def in_a_process(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        check=False,
        env={**os.environ},
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
async def test_interrupt_in_a_validator_of_a_start_records_nothing(tmp_path: Path) -> None:
    """2.3, 9.5: it is checked before anything is written."""
    assert in_a_process(str(tmp_path / "store.db"), "input") == "interrupted\n"
    assert await Place("sqlite", tmp_path).row("run") is None


@pytest.mark.slow
@pytest.mark.parametrize("place", ["step", "map", "output", "nested", "result"])
def test_interrupt_in_a_validator_leaves_the_app_and_the_run_goes_on_in_the_next(tmp_path: Path, place: str) -> None:
    """3.1, 9.5: where a type of the author is read or written, as in a body: who interrupts means the process."""
    path = str(tmp_path / "store.db")

    assert in_a_process(path, place) == "interrupted\n"
    assert in_a_process(path, place, "calm") == "success\n"
