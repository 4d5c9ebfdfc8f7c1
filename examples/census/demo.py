"""Start a run, kill the worker that drives it, start another one, and prove that nothing was lost or done twice."""

from __future__ import annotations

import asyncio
import platform
import signal
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from screen import Screen
from workflow import CONCURRENCY, Report, add_up, census, find_modules, parse_module

from outlast import Outlast, RunHandle, RunResult, StepStatus

KILL_AT = 0.45
PATIENCE = 120
WORKER = Path(__file__).with_name("worker.py")
LIBRARY = sysconfig.get_path("stdlib")


async def demo(screen: Screen, folder: Path) -> bool:
    """Do the census with a killed worker; return whether all that is claimed of it holds."""
    store, log = folder / "census.db", folder / "parsed.log"
    screen.say(screen.bold(f"A census of the standard library of Python {platform.python_version()}"))
    screen.say()
    async with Outlast([census], store=store, worker=False) as app:
        run = await app.create_run(census)
        started = await run.start_async(input_data=LIBRARY)
        screen.say(f"run {started.run_id}")
        screen.say("is on disk; nobody works on it yet.")
        screen.say()

        async with worker(store, log) as first:
            screen.say(f"Worker {first.pid} starts.")
            await follow(started, first, screen, until=KILL_AT)
            first.kill()
            await first.wait()
        at_kill = await started.snapshot()
        recorded, in_flight = files_by(StepStatus.SUCCESS, at_kill), files_by(StepStatus.RUNNING, at_kill)
        screen.say(screen.color(f"kill -9 {first.pid}", "31"))
        screen.say(f"{len(recorded)} modules are on record; {len(in_flight)} were in flight and begin again.")
        screen.say()

        async with worker(store, log) as second:
            screen.say(f"Worker {second.pid} starts and goes on after {len(recorded)}.")
            await follow(started, second, screen, until=1)
            result = await started.result(timeout=60)
            second.terminate()
            await second.wait()
    report = result.unwrap()
    show(report, screen)

    screen.say("The same census without Outlast, without a kill:")
    expected = await census_in_one_go(screen)
    screen.say()
    parses = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
    return prove(
        screen,
        files=await find_modules(LIBRARY),
        finished=files_by(StepStatus.SUCCESS, result),
        in_flight=in_flight,
        parsed=Counter(file for _, file in parses),
        workers=Counter(pid for pid, _ in parses),
        is_same=report == expected,
    )


@asynccontextmanager
async def worker(store: Path, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a worker process, and make sure that it does not outlive the block."""
    process = await asyncio.create_subprocess_exec(sys.executable, WORKER, store, log)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def follow(run: RunHandle[Report], process: asyncio.subprocess.Process, screen: Screen, *, until: float) -> None:
    """Show how far the run is, read from the store like any other process could, until so much of it is done."""
    while True:
        now = await run.snapshot()
        found = now.steps.get("find_modules")
        if found is not None and isinstance(found.output, list):
            done, total = len(files_by(StepStatus.SUCCESS, now)), len(found.output)
            screen.progress(done, total)
            if done >= until * total:
                screen.end_progress(done, total)
                return
        if now.status.is_terminal:
            now.unwrap()
        if process.returncode is not None:
            raise RuntimeError(f"worker {process.pid} ended by itself with exit code {process.returncode}")
        await asyncio.sleep(0.1)


def files_by(status: StepStatus, result: RunResult[Report]) -> set[str]:
    """Return the modules whose parse step has this status, by what the journal says."""
    items = (item for path, item in result.steps.items() if path.startswith("parse_module["))
    return {str(item.payload) for item in items if item.status is status}


async def census_in_one_go(screen: Screen) -> Report:
    """Do the same without the engine: steps stay plain functions."""
    files = await find_modules(LIBRARY)
    modules = []
    for file in files:
        modules.append(await asyncio.to_thread(parse_module, file))
        screen.progress(len(modules), len(files))
    screen.end_progress(len(modules), len(files))
    return add_up(modules)


def show(report: Report, screen: Screen) -> None:
    """Print the report."""
    screen.say()
    screen.say(f"{report.modules:>9,} modules")
    screen.say(f"{report.lines:>9,} lines")
    screen.say(f"{report.functions:>9,} functions")
    screen.say(f"{report.classes:>9,} classes")
    screen.say()
    screen.say(f"{'The ten largest':<32}{'lines':>9}{'functions':>12}{'classes':>10}")
    for module in report.largest:
        name = str(Path(module.file).relative_to(LIBRARY))
        screen.say(f"{name:<32}{module.lines:>9,}{module.functions:>12,}{module.classes:>10,}")
    screen.say()


def prove(
    screen: Screen,
    *,
    files: Sequence[str],
    finished: set[str],
    in_flight: set[str],
    parsed: Counter[str],
    workers: Counter[str],
    is_same: bool,
) -> bool:
    """Hold the claims against the evidence: the journal, and the log that each parse left a line in."""
    twice = {file for file, times in parsed.items() if times > 1}
    shares = " + ".join(str(share) for share in workers.values())
    claims = {
        f"None lost: {len(finished)} of {len(files)} modules have a result": finished == set(files) == set(parsed),
        f"Parsed twice: {len(twice)}, all of them in flight at the kill ({shares} = {parsed.total()} parses)": (
            twice <= in_flight and len(in_flight) <= CONCURRENCY and max(parsed.values()) <= 2
        ),
        "Nothing that was on record was done again": parsed.total() == len(files) + len(twice),
        "The report equals that of the census without a kill": is_same,
    }
    for text, holds in claims.items():
        screen.check(holds=holds, text=text)
    return all(claims.values())


def main() -> int:
    """Run the demo in a folder of its own; return the exit code."""
    screen, began = Screen(), time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: clean up, leave no worker behind
    screen.say()
    try:
        with tempfile.TemporaryDirectory(prefix="outlast-census-") as folder:
            is_proven = asyncio.run(asyncio.wait_for(demo(screen, Path(folder)), PATIENCE))
    except KeyboardInterrupt:
        screen.say()
        screen.say("Stopped; the workers are gone, too.")
        return 130
    except TimeoutError:
        screen.say()
        screen.say(f"The census did not end within {PATIENCE} seconds.")
        return 1
    screen.say()
    screen.say(f"{time.monotonic() - began:.0f} seconds." if is_proven else "The proof failed.")
    screen.say()
    return 0 if is_proven else 1


if __name__ == "__main__":
    sys.exit(main())
