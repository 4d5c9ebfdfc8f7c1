"""From `module:app` or a path to the app object that it names."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from outlast.app import Outlast
from outlast.cli.complaint import Complaint
from outlast.errors import OutlastError
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.workflow import Workflow

__all__ = ["load_app"]

_DEFAULT: Final = "app"
_RUNS_ALREADY: Final = "cannot be called from a running event loop"
_EXAMPLE: Final = "app = Outlast([my_workflow], store='outlast.db')"


def load_app(reference: str) -> Outlast:
    """Import the module of a reference and return its app, not entered.

    A reference is `module`, `package.module:name`, `path/to/file.py` or `path/to/file.py:name`. The name may have dots,
    and may be that of a function without parameters that returns the app. Without a name it is `app`, or else the only
    app of the module. The current directory is where modules are looked for first.

    Raises:
        Complaint: It cannot be found or is not an app; the message says what to write.
    """
    place, _, name = reference.partition(":")
    if not place:
        raise Complaint(f"'{reference}' names no module", hint="write it as module:app or path/to/file.py:app")
    is_path = place.endswith(".py") or "/" in place
    module = _import(_find_module(place) if is_path else place, reference)
    return _app_of(_look_up(module, name) if name else _guess(module), reference)


def _find_module(path: str) -> str:
    """Return the dotted name of a file's module, and let its package be found."""
    file = Path(path).resolve()
    if not file.is_file():
        raise Complaint(
            f"there is no file {path}", hint="check the path; a module is named without .py: package.module"
        )
    names, folder = [file.stem], file.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    _put_first(str(folder))
    return ".".join(names).removesuffix(".__init__")


def _put_first(folder: str) -> None:
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


def _import(name: str, reference: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _import_failed(name, error) from error
        raise Complaint(
            f"there is no module '{error.name}' in {here}",
            hint="run outlast in the directory that holds it, or name the file: path/to/file.py:app",
        ) from None
    except (ValueError, TypeError) as error:
        if "." in (name[:1], name[-1:]) or ".." in name:
            raise Complaint(f"'{reference}' names no module", hint="write it as module:app") from None
        raise _import_failed(name, error) from error
    except (Exception, SystemExit) as error:
        if _RUNS_ALREADY in str(error):
            raise _starts_by_itself(name, error) from None
        raise _import_failed(name, error) from error


def _starts_by_itself(name: str, error: BaseException) -> Complaint:
    """Return what to say of a module that is a program: it runs its own event loop as soon as it is imported."""
    with warnings.catch_warnings():  # the coroutine that it could not run says nothing that the complaint does not
        warnings.simplefilter("ignore", RuntimeWarning)
        traceback.clear_frames(error.__traceback__)
    return Complaint(
        f"'{name}' starts a program of its own when it is imported: it calls asyncio.run(...)",
        hint='let it do so only as a program, and not when imported: if __name__ == "__main__": asyncio.run(...)',
        code="import-failed",
    )


def _import_failed(name: str, error: BaseException) -> Complaint:
    """Return what to say of user code that raised: what, and where in it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if len(frames) > 1 else name
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    detail = f"{type(error).__name__}: {text}" if text else type(error).__name__
    hint = "" if isinstance(error, OutlastError) else f"see the whole traceback: python -c 'import {name}'"
    return Complaint(f"'{name}' cannot be imported: {detail} ({place})", hint=hint, code="import-failed")


def _look_up(module: ModuleType, name: str) -> object:
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            apps = ", ".join(f"{module.__name__}:{each}" for each in _apps_in(module))
            hint = f"its apps: {apps}" if apps else f"declare one at the top level: {_EXAMPLE}"
            raise Complaint(f"'{module.__name__}' has no '{name}'", hint=hint)
        found = getattr(found, part)
    return found


def _guess(module: ModuleType) -> object:
    apps = _apps_in(module)
    if hasattr(module, _DEFAULT):
        return getattr(module, _DEFAULT)
    if len(apps) == 1:
        return apps[next(iter(apps))]
    if apps:
        names = " or ".join(f"{module.__name__}:{each}" for each in apps)
        raise Complaint(f"'{module.__name__}' has {len(apps)} apps", hint=f"say which: {names}")
    raise Complaint(f"'{module.__name__}' has no app", hint=f"declare one at the top level: {_EXAMPLE}")


def _apps_in(module: ModuleType) -> dict[str, Outlast]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Outlast)}


def _app_of(value: object, reference: str) -> Outlast:
    if callable(value) and not isinstance(value, type):
        value = _call(value, reference)
    if isinstance(value, Outlast):
        return value
    if isinstance(value, CommittedWorkflow | Workflow):
        hint = f"make an app of it: app = Outlast([{reference.rpartition(':')[2]}], store='outlast.db')"
        raise Complaint(f"'{reference}' is a workflow, not an app", hint=hint)
    raise Complaint(f"'{reference}' is {_kind_of(value)}, not an app", hint=f"declare one: {_EXAMPLE}")


def _call(function: Callable[..., object], reference: str) -> object:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        raise Complaint(
            f"'{reference}' needs arguments", hint="name an app, or a function without parameters that returns one"
        ) from None
    if inspect.iscoroutinefunction(function):
        raise Complaint(f"'{reference}' is an async function", hint="return the app from a plain function")
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise _import_failed(reference, error) from error


def _kind_of(value: Any) -> str:  # noqa: ANN401 - whatever the name stood for
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
