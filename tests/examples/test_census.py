from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from outlast import Outlast, RunStatus

CENSUS = Path(__file__).parents[2] / "examples" / "census"


def load_workflow() -> ModuleType:
    spec = importlib.util.spec_from_file_location("census_workflow", CENSUS / "workflow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # annotations are looked up there
    spec.loader.exec_module(module)
    return module


def make_library(folder: Path) -> Path:
    (folder / "package" / "tests").mkdir(parents=True)
    (folder / "small.py").write_text("def f():\n    pass\n")
    (folder / "package" / "large.py").write_text("class A:\n    async def g(self):\n        pass\n\n\nclass B: ...\n")
    (folder / "package" / "tests" / "test_large.py").write_text("def test(): ...\n")
    (folder / "data.txt").write_text("def not_python():\n")
    return folder


async def test_census_counts_modules_without_their_tests(tmp_path: Path):
    workflow = load_workflow()
    library = make_library(tmp_path / "library")

    async with Outlast([workflow.census], store="memory") as app:
        run = await app.create_run(workflow.census)
        result = await run.start(input_data=str(library))

    small = workflow.Module(file=str(library / "small.py"), lines=2, functions=1, classes=0)
    large = workflow.Module(file=str(library / "package" / "large.py"), lines=6, functions=1, classes=2)
    assert result.unwrap() == workflow.Report(modules=2, lines=8, functions=2, classes=2, largest=[large, small])


async def test_census_fails_with_the_path_of_the_module_that_cannot_be_parsed(tmp_path: Path):
    workflow = load_workflow()
    library = make_library(tmp_path / "library")
    (library / "zebra.py").write_text("def broken(:\n")

    async with Outlast([workflow.census], store="memory") as app:
        run = await app.create_run(workflow.census)
        result = await run.start(input_data=str(library))

    assert (result.status, result.error_path) == (RunStatus.FAILED, "parse_module[2]")
    assert result.error is not None
    assert (result.error.type, "zebra.py" in result.error.message) == ("SyntaxError", True)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_demo_proves_that_a_killed_run_goes_on(tmp_path: Path):
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "PYTHONIOENCODING": "utf-8"}

    done = subprocess.run(
        [sys.executable, CENSUS / "demo.py"], env=environment, capture_output=True, text=True, timeout=170, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\r" not in done.stdout
    assert "\033" not in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert re.search(r"kill -9 \d+\n  \d+ modules are on record", done.stdout)
    assert re.search(r"None lost: (\d+) of \1 modules have a result", done.stdout)
    assert "The report equals that of the census without a kill" in done.stdout
    assert list(tmp_path.iterdir()) == []
