"""What the compose file for Temporal runs in containers works as plain processes, beside a real server."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from temporal_server import TemporalServer

pytestmark = pytest.mark.slow

PLACE = Path(__file__).parents[2] / "examples" / "temporal"
COMPOSE: dict[str, Any] = yaml.safe_load((PLACE / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
TOKEN = "a secret of more than twenty characters"


@contextlib.contextmanager
def process(service: str, server: TemporalServer, directory: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command of a service, and give the line in which it says that it is ready."""
    words = shlex.split(SERVICES[service]["command"])
    assert words[0] == "outlast"
    given = SERVICES[service]["environment"]
    known = {"TEMPORAL_ADDRESS": server.address, "OUTLAST_TOKEN": TOKEN}
    environment = {**os.environ, **{name: known[name] for name in given}, "PYTHONPATH": str(PLACE)}
    if "--port" in words:
        words[words.index("--port") + 1] = "0"
        words[words.index("--host") + 1] = "127.0.0.1"
    command = [sys.executable, "-m", "outlast", *words[1:], "--json"]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as running:
        assert running.stdout is not None
        said: list[str] = []
        try:
            for line in running.stdout:
                said.append(line)
                if "ready" in line or "http://" in line:
                    break
            else:
                pytest.fail("".join(said))
            yield line, running
        finally:
            running.send_signal(signal.SIGTERM)
            running.communicate(timeout=30)


def test_web_process_and_worker_do_what_they_say(temporal_server: TemporalServer, tmp_path: Path) -> None:
    with process("web", temporal_server, tmp_path) as (said, web):
        address = re.findall(r"http://[\d.]+:\d+", said)[0]
        with httpx.Client(base_url=address, headers={"authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            assert client.get("/ready").status_code == 200
            with process("worker", temporal_server, tmp_path) as (_, worker):
                answer = client.post("/api/workflows/hello/start-async", json={"inputData": "ada"})

    assert answer.json()["result"] == "hello ada"
    assert (web.returncode, worker.returncode) == (0, 0)


def test_services_fit_together() -> None:
    """Names, files and volumes that the file mentions are there; nothing is open to other machines."""
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert all(volume.split(":")[0] in COMPOSE["volumes"] for volume in service.get("volumes", ()))
        build = service.get("build")
        if build is not None:
            context = (PLACE / build["context"]).resolve()
            assert (context / build["dockerfile"]).is_file()
        else:
            assert re.search(r":\d", service["image"]), "an image needs a version"


def test_files_that_the_image_takes_are_there() -> None:
    root = PLACE.parents[1]
    copied = re.findall(r"^COPY (.*) \S+$", (PLACE / "Dockerfile").read_text(), re.MULTILINE)

    assert copied
    assert all((root / name).exists() for line in copied for name in line.split())
