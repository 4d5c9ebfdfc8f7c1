"""The lines of the README that serve an app and call it do what they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]


def lines_of_the_readme() -> list[str]:
    readme = (ROOT / "README.md").read_text()
    begin = readme.index("A workflow can be served")
    match = re.search(r"```sh\n(.*?)```", readme[begin:], re.DOTALL)
    assert match is not None
    return match[1].replace("\\\n", "").splitlines()


@pytest.mark.slow
def test_app_of_the_readme_is_served_and_answers(tmp_path: Path):
    _, serve, curl = lines_of_the_readme()
    arguments = shlex.split(serve.removesuffix("&"))
    assert arguments[0] == ".venv/bin/outlast"
    file = ROOT / arguments[2]
    words = shlex.split(curl)
    url, body = next(word for word in words if word.startswith("http")), words[words.index("-d") + 1]

    command = [sys.executable, "-m", "outlast", "serve", str(file), "--port", "0", "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            address = next(found[0] for line in process.stdout if (found := re.findall(r"http://[\d.]+:\d+", line)))
            response = httpx.post(
                re.sub(r"^http://[^/]+", address, url), content=body, headers={"content-type": "application/json"}
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)

    assert response.json()["result"] == [
        f"{json.loads(body)['inputData']} to {name}+may@example.org" for name in ("ada", "edsger", "grace")
    ]
    assert process.returncode == 0
