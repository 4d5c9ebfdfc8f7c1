"""How a command is declared: a function, async or not, that gets what all commands share and may raise complaints."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import typer

from outlast.cli.complaint import Complaint, complaint_of
from outlast.cli.exits import Exit
from outlast.cli.place import Place
from outlast.cli.screen import Screen
from outlast.errors import OutlastError

__all__ = ["APP_VARIABLE", "Json", "command", "make_group"]

_Outcome: TypeAlias = "Exit | Coroutine[Any, Any, Exit | None] | None"
Body = TypeVar("Body", bound=Callable[..., "_Outcome"])

APP_VARIABLE: Final = "OUTLAST_APP"
"""Environment variable with the app to use where none is named."""

App = Annotated[
    str | None,
    typer.Option("--app", "-a", metavar="MODULE:APP", envvar=APP_VARIABLE, help="The app: its store and its code."),
]
Store = Annotated[
    str | None,
    typer.Option("--store", "-s", metavar="FILE", envvar="OUTLAST_STORE", help="The file of the runs."),
]
Url = Annotated[
    str | None,
    typer.Option("--url", "-u", metavar="URL", envvar="OUTLAST_URL", help="The server, instead of app and file."),
]
Token = Annotated[
    str | None, typer.Option("--token", metavar="SECRET", envvar="OUTLAST_TOKEN", help="What the server asks for.")
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]

_SCREEN: Final = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
_PLACE: Final = (
    inspect.Parameter("app", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=App),
    inspect.Parameter("store", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Store),
    inspect.Parameter("url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Url),
    inspect.Parameter("token", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Token),
)


def make_group(help: str) -> typer.Typer:  # noqa: A002 - typer's word
    """Return an empty group of commands."""
    return typer.Typer(help=help, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")


def command(group: typer.Typer, name: str) -> Callable[[Body], Body]:
    """Add a command to a group; its help is the docstring.

    A parameter `screen` of the function adds the option `--json`; a parameter `place` adds those that say where runs
    are. Neither is an option by itself. The function returns its exit code, None meaning 0, and raises a `Complaint` or
    an error of the library.
    """

    def add(body: Body) -> Body:
        parameters = inspect.signature(body, eval_str=True).parameters.values()
        own = [each for each in parameters if each.name not in ("screen", "place")]
        shared = [*_PLACE] if any(each.name == "place" for each in parameters) else []

        def run(**values: Any) -> None:  # noqa: ANN401 - whatever the options are
            screen = Screen(is_json=values.pop("as_json"))
            if shared:
                values["place"] = Place(**{each.name: values.pop(each.name) for each in _PLACE})
            raise typer.Exit(_perform(lambda: body(screen=screen, **values), screen))

        signature = [*(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *shared, _SCREEN]
        run.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in signature}
        run.__doc__ = inspect.getdoc(body)
        group.command(name)(run)
        return body

    return add


def _perform(body: Callable[[], _Outcome], screen: Screen) -> int:
    try:
        outcome = body()
        if isinstance(outcome, Coroutine):
            outcome = asyncio.run(outcome)
        sys.stdout.flush()  # here, where a broken pipe can still be told from a fault
    except (Complaint, OutlastError) as error:
        complaint = error if isinstance(error, Complaint) else complaint_of(error)
        screen.complain(complaint)
        return complaint.exit
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more at its end, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    return outcome or Exit.DONE
