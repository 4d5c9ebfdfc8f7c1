from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from cli.terminal import Terminal
from outlast.cli.reloading import read_times


@pytest.mark.slow
def test_dev_starts_anew_with_changed_code_and_ends_well(terminal: Terminal):
    with terminal.spawn("dev", "shop", "--port", "0", "--json", "--log-level", "error") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        shop = terminal.directory / "shop.py"
        shop.write_text(shop.read_text() + "\n")
        told = [json.loads(process.stdout.readline()) for _ in range(3)]

        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=50)

    assert [first["event"], *(each["event"] for each in told)] == ["ready", "reloading", "ended", "ready"]
    assert first["pid"] != told[-1]["pid"]
    assert (process.returncode, err) == (0, "")


@pytest.mark.slow
def test_dev_waits_for_the_next_change_when_the_code_cannot_be_imported(terminal: Terminal):
    shop = terminal.directory / "shop.py"
    good = shop.read_text()
    shop.write_text("def (")
    with terminal.spawn("dev", "shop", "--port", "0", "--json", "--log-level", "error") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["code"] == "import-failed"
        shop.write_text(good)
        told = [json.loads(process.stdout.readline())["event"] for _ in range(2)]

        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=50)

    assert (told, process.returncode) == (["reloading", "ready"], 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_what_dev_started_ends_with_it_however_it_ends(terminal: Terminal, number: signal.Signals):
    """A server that nobody sees would keep the port, and drive runs with old code."""
    with terminal.spawn("dev", "shop", "--port", "0", "--json", "--log-level", "error") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())

        process.send_signal(number)
        out, err = process.communicate(timeout=50)  # until nobody can write any more

    assert (ready["event"], json.loads(out)["event"], err) == ("ready", "ended", "")


@pytest.mark.slow
def test_second_signal_ends_dev_and_what_it_started(terminal: Terminal):
    with terminal.spawn("dev", "shop", "--port", "0", "--json", "--log-level", "error") as process:
        assert process.stdout is not None
        process.stdout.readline()

        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=50)  # until nobody can write any more

    assert process.returncode in {0, 128 + signal.SIGTERM, 128 + signal.SIGINT}


def test_changes_are_looked_for_in_python_files_only(tmp_path: Path):
    for name in ("app.py", "pack/mod.py", ".venv/lib.py", "__pycache__/old.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    times = read_times(tmp_path)
    os.utime(tmp_path / "app.py", ns=(1, 1))

    assert sorted(str(path.relative_to(tmp_path)) for path in times) == ["app.py", "pack/mod.py"]
    assert read_times(tmp_path)[tmp_path / "app.py"] == 1
