"""The group `outlast db`: the file of a store, beside the processes that use it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from outlast.cli.command import command, make_group
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.place import DEFAULT_STORE, existing
from outlast.cli.screen import Screen
from outlast.storage.sqlite import upkeep

__all__ = ["group"]

group = make_group("Look after the file of a store. Workers may go on meanwhile.")

File = Annotated[str, typer.Argument(metavar="FILE", envvar="OUTLAST_STORE", help="The file of the runs.")]


def info(screen: Screen, file: File = DEFAULT_STORE) -> None:
    """Say what a store holds: runs by status, events, sizes, workers. Changes nothing."""
    found = upkeep.describe(existing(file, hint="name it: outlast db info FILE"))
    if screen.is_json:
        screen.json(
            {
                "path": found.path,
                "schemaVersion": found.version,
                "bytes": found.size,
                "logBytes": found.log_size,
                "freeBytes": found.free,
                "graphs": found.graphs,
                "events": found.events,
                "runs": dict(found.runs),
                "workers": found.workers,
            }
        )
        return
    runs = ", ".join(f"{number:,} {status}" for status, number in found.runs.items())
    screen.fields(
        (
            ("file", found.path),
            ("schema", f"version {found.version}"),
            ("size", f"{_bytes(found.size)}, of which {_bytes(found.free)} free; log {_bytes(found.log_size)}"),
            ("runs", runs or "none"),
            ("events", f"{found.events:,}"),
            ("graphs", f"{found.graphs:,}"),
            ("workers", f"{found.workers} alive"),
        )
    )


def migrate(screen: Screen, file: File = DEFAULT_STORE) -> None:
    """Bring a store up to the schema of this version. Opening it does the same; this does it at a time you choose."""
    before, now = upkeep.migrate(existing(file, hint="name it: outlast db migrate FILE"))
    if screen.is_json:
        screen.json({"before": before, "now": now})
    else:
        screen.note(f"schema version {now}" + (" already" if before == now else f", was {before}"))


def vacuum(screen: Screen, file: File = DEFAULT_STORE) -> None:
    """Give the room of deleted runs back to the disk."""
    gained = upkeep.vacuum(existing(file, hint="name it: outlast db vacuum FILE"))
    if screen.is_json:
        screen.json({"bytes": gained})
    else:
        screen.note(f"gave back {_bytes(gained)}")


def backup(
    screen: Screen,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The copy: a new file or a directory.", show_default=False)
    ],
    file: File = DEFAULT_STORE,
) -> None:
    """Copy a store as it is at one moment, check the copy, and write its path.

    Open either the store or the copy: in both, runs would go on.
    """
    source = existing(file, hint="name it: outlast db backup TARGET FILE")
    path = Path(target)
    if path.is_dir():
        path /= f"{Path(source).stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.db"
    if path.exists():
        raise Complaint(f"{path} is there already", hint="choose another name", exit=Exit.REFUSED, code="file-exists")
    size = upkeep.back_up(source, str(path))
    if screen.is_json:
        screen.json({"path": str(path), "bytes": size})
    else:
        screen.say(str(path))


def _bytes(number: int) -> str:
    size, unit = float(number), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):  # noqa: B007 - the unit at which it stops
        if abs(size) < 1024:  # noqa: PLR2004 - the step between units
            break
        size /= 1024
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


command(group, "info")(info)
command(group, "migrate")(migrate)
command(group, "vacuum")(vacuum)
command(group, "backup")(backup)
