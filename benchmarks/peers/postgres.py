"""A PostgreSQL server of one's own for as long as something is measured, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["find_programs", "serve"]

_PLACES = ("/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt")
_ROOT = 0


def find_programs() -> Path | None:
    """Return the directory of `initdb` and `pg_ctl`, or None."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("pg_ctl") is not None:
        return Path(found).resolve().parent
    for place in _PLACES:
        for initdb in sorted(Path(place).glob("*/bin/initdb"), reverse=True):
            return initdb.parent
    return None


@contextmanager
def serve(programs: Path, directory: Path) -> Iterator[str]:
    """Run a server with the settings it comes with, on a socket in a new directory; yields its SQLAlchemy URL."""
    user = None
    data = directory / "postgres"
    data.mkdir(mode=0o700)
    if os.geteuid() == _ROOT:  # the server refuses to run as root
        user = "postgres"
        shutil.chown(data, user)
        for parent in (directory, directory.parent):
            parent.chmod(0o711)
    _call([programs / "initdb", "--auth=trust", "--username=postgres", "--no-sync", data / "data"], user)
    settings = f"-c unix_socket_directories={data} -c listen_addresses="
    log = data / "log"
    _call([programs / "pg_ctl", "start", "-w", "-D", data / "data", "-l", log, "-o", settings], user)
    try:
        yield f"postgresql+psycopg://postgres@/dbos?host={data}"
    finally:
        _call([programs / "pg_ctl", "stop", "-w", "-m", "immediate", "-D", data / "data"], user)


def _call(command: Sequence[str | Path], user: str | None) -> None:
    done = subprocess.run(command, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
