from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from outlast import Outlast, Run, RunHandle, Workflow, step
from outlast.client import Client
from outlast.client.beginning import RemoteRun
from outlast.client.handle import RemoteRunHandle
from outlast.graph.options import StartOptions

FORMS = {
    "start_async": ("start", "stream"),
    "resume_async": ("resume", "resume_stream"),
    "restart_async": ("restart",),
    "time_travel_async": ("time_travel", "time_travel_stream"),
    "fork_async": ("fork",),
}
"""The verbs that name their options, and the others that take the same."""
VERBS = [verb for known, forms in FORMS.items() for verb in (known, *forms)]
NEEDS_A_STEP = ("time_travel", "fork")


@step
async def echo(word: str) -> str:
    return word


ECHO = Workflow("echo", input=str, output=str).then(echo).commit()


@pytest.mark.parametrize("kind", [Run, RunHandle, RemoteRun, RemoteRunHandle])
def test_every_form_of_a_verb_shows_the_options_with_their_defaults(kind: type):
    for verb, forms in FORMS.items():
        known = getattr(kind, verb, None)
        for form in forms if known is not None else ():
            shown = inspect.signature(getattr(kind, form))
            assert shown.parameters == inspect.signature(known).parameters
            assert str(shown.return_annotation).split("[")[0].endswith(("RunResult", "RunStream", "RemoteStream"))


async def _call(verb: Callable[..., Any], name: str) -> None:
    asked = verb(*["echo"] if name.startswith(NEEDS_A_STEP) else [], labels=["a"])
    if inspect.isawaitable(asked):  # what shows a stream is refused before anybody reads it
        await asked


@pytest.mark.parametrize("is_remote", [False, True])
async def test_unknown_option_is_refused_by_its_name(is_remote: bool):
    opened: Any = Client("http://localhost:1") if is_remote else Outlast([ECHO], store="memory")
    async with opened as place:
        for subject, name in product((await place.create_run(ECHO), place.run("r")), VERBS):
            if (verb := getattr(subject, name, None)) is not None:
                with pytest.raises(TypeError, match="unexpected keyword argument 'labels'"):
                    await _call(verb, name)


@pytest.mark.parametrize("name", [each for each in VERBS if not each.endswith("stream")])
def test_forms_that_wait_are_coroutine_functions(name: str):
    for kind in (Run, RunHandle, RemoteRun, RemoteRunHandle):
        assert inspect.iscoroutinefunction(getattr(kind, name, echo.function.call))


def test_start_from_a_step_takes_the_options_of_a_start():
    """All but those that it has itself: the input, and what makes it happen once."""
    parameters = inspect.signature(Run.start_async).parameters.values()
    known = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert set(StartOptions.__annotations__) == known - {"input_data", "idempotency_key"}
