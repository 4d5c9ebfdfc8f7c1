"""What is published installs in a clean environment, with and without extras, and from the sources too."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from outlast import Outlast, Workflow, step
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"fastapi", "starlette", "uvicorn", "httpx", "typer", "rich"}, loaded
import outlast
assert "site-packages" in outlast.__file__
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, and the sources that it can be built from."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT))
    return folder


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def clean_environment(folder: Path, requirement: str) -> str:
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement)
    return python


def test_wheel_has_all_that_is_needed_and_nothing_else(built: Path):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert all(name.startswith(("outlast/", "outlast-")) for name in names)
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "outlast").rglob("*") if path.is_file()}
    assert {name for name in sources if "__pycache__" not in name} == {n for n in names if n.startswith("outlast/")}


def test_wheel_works_without_extras(built: Path, tmp_path: Path):
    (wheel,) = built.glob("*.whl")
    python = clean_environment(tmp_path / "venv", str(wheel))

    run(python, "-c", CODE, cwd=tmp_path)


def test_sources_install_with_every_extra_and_make_a_project(built: Path, tmp_path: Path):
    (sources,) = built.glob("*.tar.gz")
    with tarfile.open(sources) as archive:
        assert any(name.endswith("/docs/index.md") for name in archive.getnames())
    python = clean_environment(tmp_path / "venv", f"{sources}[all]")

    run(python, "-c", "import outlast.server, outlast.client", cwd=tmp_path)
    assert "Usage" in run(python, "-m", "outlast", "--help", cwd=tmp_path)

    # A new project works beside the version that made it, which need not be published anywhere.
    run(python, "-m", "outlast", "new", "my-shop", cwd=tmp_path)
    project = tmp_path / "my-shop"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", ".[dev]", cwd=project)
    assert "2 passed" in run(python, "-m", "pytest", "-p", "no:cacheprovider", cwd=project)
