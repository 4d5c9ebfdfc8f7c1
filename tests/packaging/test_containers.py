"""The container files hold together. No image is built: what they name is there, and what they start works."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "compose"
SECRET = "a-secret-of-more-than-twenty-characters"

SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
LINES = re.sub(r"\\\n\s*", "", (FOLDER / "Dockerfile").read_text()).splitlines()
INSTRUCTIONS = [tuple(line.split(None, 1)) for line in LINES if line.strip() and not line.startswith("#")]


def instructions(word: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == word]


def test_image_is_made_of_files_that_are_there():
    for service in SERVICES.values():
        context = (FOLDER / service["build"]["context"]).resolve()
        assert context == ROOT
        assert context / service["build"]["dockerfile"] == FOLDER / "Dockerfile"
    copied = [source for line in instructions("COPY") if "--from" not in line for source in shlex.split(line)[:-1]]
    assert copied
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_image_has_what_a_wheel_is_built_from():
    """Beside the sources: the files that the metadata names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = " ".join(instructions("COPY"))

    for name in ("pyproject.toml", "src", project["readme"], *project["license-files"]):
        assert name in copied.split(), name


def test_image_installs_extras_that_there_are_for_a_python_that_is_supported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {
        extra
        for line in instructions("RUN")
        for found in re.findall(r"\[([\w,]+)\]", line)
        for extra in found.split(",")
    }
    versions = {
        tuple(map(int, found)) for line in instructions("FROM") for found in re.findall(r"python:(\d+)\.(\d+)-", line)
    }

    assert extras == {"server", "cli"}
    assert extras <= set(project["optional-dependencies"])
    assert len(versions) == 1
    assert all(
        f"Programming Language :: Python :: {major}.{minor}" in project["classifiers"] for major, minor in versions
    )


def test_containers_are_not_root_and_share_the_volume_that_the_app_writes_to():
    volumes = [service["volumes"] for service in SERVICES.values()]

    assert instructions("USER") == ["outlast"]
    assert volumes == [["data:/data"]] * 2
    assert instructions("VOLUME") == ["/data"]
    assert '"/data/outlast.db"' in (FOLDER / "flows.py").read_text()


def test_web_process_asks_for_a_token_and_is_published_to_this_machine_only():
    web = SERVICES["web"]

    assert web["environment"]["OUTLAST_TOKEN"].startswith("${OUTLAST_TOKEN:?")
    assert web["ports"] == ["127.0.0.1:4111:4111"]
    assert "--port 4111" in web["command"]


@contextmanager
def started(service: str, store: Path, *more: str) -> Iterator[dict[str, Any]]:
    """The command of a service, as a plain process on another file; gives what it says when it is ready."""
    program, *words = shlex.split(SERVICES[service]["command"])
    assert program == "outlast"
    with subprocess.Popen(
        [sys.executable, "-m", "outlast", *words, "--store", str(store), "--json", "--log-level", "error", *more],
        cwd=FOLDER,
        env={**os.environ, "OUTLAST_TOKEN": SECRET, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_commands_of_the_containers_work_together_on_one_file(tmp_path: Path):
    store = tmp_path / "outlast.db"

    with started("web", store, "--host", "127.0.0.1", "--port", "0") as web, started("worker", store):
        request = urllib.request.Request(
            f"{web['url']}/api/workflows/hello/start-async",
            data=b'{"inputData": "Ada"}',
            headers={"content-type": "application/json", "authorization": f"Bearer {SECRET}"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            result = json.load(response)
        with urllib.request.urlopen(f"{web['url']}/ready", timeout=20) as response:
            ready = response.status

    assert (result["status"], result["result"], ready) == ("success", "hello Ada", 200)
