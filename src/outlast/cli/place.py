"""Where runs are: in a file, or in the file of an app whose code is known too."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from outlast.app import Outlast
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.loading import load_app
from outlast.graph.committed import CommittedWorkflow

__all__ = ["DEFAULT_STORE", "Place", "existing", "find_workflow"]

DEFAULT_STORE: Final = "outlast.db"
"""The file that is used where none is named, as in `Outlast(...)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the options `--app` and `--store` say."""

    app: str | None = None
    """The app; with it, the code is known."""
    store: str | None = None
    """The file; with an app, in the place of its own."""

    def load(self, *, purpose: str) -> Outlast:
        """Return the app, not entered, on the store that was named.

        Raises:
            Complaint: None is named or it cannot be loaded.
        """
        if self.app is None:
            raise Complaint(
                f"{purpose} needs the code of the workflow",
                hint="name the app: --app module:app, or set OUTLAST_APP",
            )
        app = load_app(self.app)
        return app if self.store is None else app.with_options(store=self.store)

    @asynccontextmanager
    async def open(self, *, worker: bool = False, purpose: str | None = None) -> AsyncGenerator[Outlast]:
        """Open what runs are read from, and with `worker` driven by.

        Args:
            worker: Whether this process drives runs.
            purpose: What needs the author's code; None if nothing does.

        Raises:
            Complaint: There is no such file, or the app is needed and not named.
        """
        if self.app is not None or purpose is not None:
            app = self.load(purpose=purpose or "this")
            check_shared(app)
        else:
            app = Outlast([], store=existing(self.store or DEFAULT_STORE))
        async with app.with_options(worker=worker) as opened:
            yield opened


def existing(path: str, *, hint: str = "name it: --store FILE, or name the app: --app module:app") -> str:
    """Return the path of a store that is there.

    Raises:
        Complaint: There is no such file.
    """
    if not Path(path).is_file():
        raise Complaint(f"there is no file {path}", hint=hint, exit=Exit.NOT_FOUND, code="store-not-found")
    return path


def check_shared(app: Outlast) -> None:
    """Refuse an app whose runs no other process can see.

    Raises:
        Complaint: It keeps them in memory.
    """
    if app.location is None:
        raise Complaint(
            "the app keeps its runs in memory, where no other process sees them", hint="name a file: --store outlast.db"
        )


def find_workflow(app: Outlast, workflow_id: str) -> CommittedWorkflow[Any, Any]:
    """Return a workflow of an app by its id.

    Raises:
        Complaint: It has none of that id.
    """
    if workflow_id not in app.workflows:
        known = ", ".join(sorted(app.workflows)) or "none"
        raise Complaint(
            f"the app has no workflow '{workflow_id}'",
            hint=f"its workflows: {known}",
            exit=Exit.NOT_FOUND,
            code="workflow-not-found",
        )
    return app.workflows[workflow_id]
