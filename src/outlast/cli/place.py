"""Where runs are: in a file, in the file of an app whose code is known too, or at a server."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from outlast.app import Outlast
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.extras import require_extra
from outlast.cli.loading import load_app
from outlast.graph.committed import CommittedWorkflow
from outlast.immutable import immutable
from outlast.run import RunHandle

if TYPE_CHECKING:
    from outlast.client import Client, RemoteRunHandle

__all__ = ["DEFAULT_STORE", "Handle", "Place", "existing", "find_workflow"]

Handle: TypeAlias = "RunHandle[Any] | RemoteRunHandle[Any]"
"""A handle on a run, here or at a server."""

DEFAULT_STORE: Final = "outlast.db"
"""The file that is used where none is named, as in `Outlast(...)`."""


@immutable(kw_only=True)
class Place:
    """What the options `--app`, `--store`, `--url` and `--token` say."""

    app: str | None = None
    """The app; with it, the code is known."""
    store: str | None = None
    """The file; with an app, in the place of its own."""
    url: str | None = None
    """The server; then neither file nor code is needed here."""
    token: str | None = None
    """What the server asks for."""

    @property
    def is_remote(self) -> bool:
        """Whether a server is meant: an option wins over variables, and among these the one of the server wins."""
        return self.url is not None and (_is_given(self.url, "OUTLAST_URL") or not self._names_file)

    @property
    def _names_file(self) -> bool:
        return _is_given(self.app, "OUTLAST_APP") or _is_given(self.store, "OUTLAST_STORE")

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
        """Open what runs are read from, and with `worker` driven by, on this machine.

        Args:
            worker: Whether this process drives runs.
            purpose: What needs the author's code; None if nothing does.

        Raises:
            Complaint: There is no such file, a server was named, or the app is needed and not named.
        """
        if self.is_remote:
            hint = "name one: --app or --store, and no --url"
            raise Complaint("this works on a file or an app, not on a server", hint=hint)
        if self.app is not None or purpose is not None:
            app = self.load(purpose=purpose or "this")
            check_shared(app)
        else:
            app = Outlast([], store=existing(self.store or DEFAULT_STORE))
        async with app.with_options(worker=worker) as opened:
            yield opened

    @asynccontextmanager
    async def connect(self, *, worker: bool = False, purpose: str | None = None) -> AsyncGenerator[Outlast | Client]:
        """Open the server that was named, or else as `open`. Both have the same verbs.

        Raises:
            Complaint: As `open`; or a server and something else are named, or the client is not installed.
        """
        if not self.is_remote:
            async with self.open(worker=worker, purpose=purpose) as app:
                yield app
            return
        if worker:
            raise Complaint("--url leaves everything to a server", hint="leave out --work")
        async with self.server() as client:
            yield client

    @asynccontextmanager
    async def server(self) -> AsyncGenerator[Client]:
        """Open the server that was named.

        Raises:
            Complaint: Something else is named, too, or the client is not installed.
        """
        if self.url is None or self._names_file:
            raise Complaint("--url leaves everything to a server", hint="leave out --app and --store")
        require_extra("client", purpose="--url")
        from outlast.client import Client  # noqa: PLC0415 - only if the extra is there

        async with Client(self.url, token=self.token) as client:
            yield client


def _is_given(value: str | None, variable: str) -> bool:
    """Say whether an option is on the command line itself, which a variable is not."""
    return value is not None and value != os.environ.get(variable)


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
    if not app.is_shared:
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
