from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outlast import ConfigurationError, Outlast


@pytest.mark.parametrize("place", ["", ":memory:", "sqlite:///", "sqlite:///:memory:"])
def test_store_without_a_file_is_refused_and_memory_is_offered(place: str):
    with pytest.raises(ConfigurationError, match="names no file; give a path, or 'memory'"):
        Outlast([], store=place)


@pytest.mark.parametrize("place", ["postgresql://localhost/runs", "sqlite://runs.db"])
def test_store_of_another_kind_is_refused_instead_of_being_taken_for_a_path(place: str):
    with pytest.raises(ConfigurationError, match="is not the path of a file"):
        Outlast([], store=place)


def test_word_that_nearly_is_memory_is_not_taken_for_a_file():
    with pytest.raises(ConfigurationError, match="store='Memory' would be a file; write 'memory'"):
        Outlast([], store="Memory")


def test_store_that_is_none_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="store=5 is no store; give the path of a file, or 'memory'"):
        Outlast([], store=5)  # type: ignore[arg-type]


def test_url_of_sqlite_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    assert Outlast([], store="sqlite:///runs.db").location == str(tmp_path / "runs.db")
    assert Outlast([], store="sqlite:////var/runs.db").location == "/var/runs.db"


@pytest.mark.slow
def test_system_without_the_locks_of_unix_is_told_so():
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from outlast import ConfigurationError, Outlast\n"
        "Outlast([], store='memory')\n"
        "try: Outlast([], store='runs.db')\n"
        "except ConfigurationError as error: print(error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout == (
        "store='runs.db': a file needs the locks of Linux or macOS; on Windows use WSL, or store='memory'\n"
    )
