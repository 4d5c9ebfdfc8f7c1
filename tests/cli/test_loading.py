from __future__ import annotations

import pytest

from cli.terminal import Terminal
from outlast.cli.complaint import Complaint
from outlast.cli.loading import load_app

HEAD = "from outlast import Outlast, Workflow, step\n"


@pytest.mark.parametrize(
    "reference", ["shop:app", "shop", "shop.py", "shop.py:app", "./shop.py:app", "shop:make", "shop:box.app"]
)
def test_app_is_found_by_module_or_path(terminal: Terminal, reference: str):
    shop = terminal.directory / "shop.py"
    shop.write_text(shop.read_text() + "\ndef make():\n    return app\n\nclass box:\n    app = app\n")

    assert set(load_app(reference).workflows) == {"order", "approval", "slow"}


def test_file_in_a_package_is_imported_as_part_of_it(terminal: Terminal):
    package = terminal.directory / "src" / "shop"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package.parent / "names.py").write_text("NAME = 'shop.db'\n")
    (package / "flows.py").write_text(HEAD + "from ..names import NAME\nmine = Outlast([], store=NAME)\n")

    assert load_app("src/shop/flows.py").location == str(terminal.directory / "shop.db")


@pytest.mark.parametrize(
    ("code", "reference", "message", "hint"),
    [
        ("", "nowhere:app", "there is no module 'nowhere' in", "name the file: path/to/file.py:app"),
        ("", "mine.nowhere:app", "there is no module 'mine", "name the file"),
        ("", "nowhere.py:app", "there is no file nowhere.py", "check the path"),
        ("", ":app", "':app' names no module", "module:app"),
        ("", "..mine:app", "'..mine:app' names no module", "module:app"),
        ("", "mine", "'mine' has no app", "app = Outlast([my_workflow], store='outlast.db')"),
        ("one = Outlast([])\ntwo = Outlast([])", "mine", "'mine' has 2 apps", "say which: mine:one or mine:two"),
        ("one = Outlast([])", "mine:on", "'mine' has no 'on'", "its apps: mine:one"),
        ("app = 7", "mine:app", "'mine:app' is an int, not an app", "declare one: app = Outlast("),
        (
            "@step\ndef f(n: int) -> int: ...\nw = Workflow('w', input=int).then(f).commit()",
            "mine:w",
            "'mine:w' is a workflow, not an app",
            "app = Outlast([w], store='outlast.db')",
        ),
        ("def app(store): ...", "mine", "'mine' needs arguments", "a function without parameters"),
        ("async def app(): ...", "mine", "'mine' is an async function", "from a plain function"),
        ("def app():\n    raise KeyError('x')", "mine", "'mine' cannot be imported: KeyError: 'x'", "mine.py:3)"),
        (
            "import nothing_like_that",
            "mine",
            "'mine' cannot be imported: ModuleNotFoundError",
            "python -c 'import mine'",
        ),
        ("raise ValueError('bad')", "mine:app", "'mine' cannot be imported: ValueError: bad (", "mine.py:2)"),
        ("exit(3)", "mine:app", "'mine' cannot be imported: SystemExit: 3", ""),
        ("def (", "mine:app", "'mine' cannot be imported: SyntaxError: invalid syntax (", "mine.py:2)"),
        ("app = Outlast([], max_runs=0)", "mine", "'mine' cannot be imported: ConfigurationError: max_runs=0 must", ""),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence_with_the_next_step(
    terminal: Terminal, code: str, reference: str, message: str, hint: str
):
    (terminal.directory / "mine.py").write_text(HEAD + code + "\n")

    with pytest.raises(Complaint) as caught:
        load_app(reference)

    assert caught.value.message.startswith(message)
    assert hint in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.exit == 2


def test_app_with_runs_in_memory_is_refused_where_others_must_see_them(terminal: Terminal):
    (terminal.directory / "mine.py").write_text(HEAD + "app = Outlast([], store='memory')\n")

    refused = terminal.type("worker", "mine")
    elsewhere = terminal.type("worker", "mine", "--store", "mine.db", "--until-idle")

    assert (refused.exit, elsewhere.exit) == (2, 0)
    assert refused.err == (
        "error: the app keeps its runs in memory, where no other process sees them\n"
        "next: name a file: --store outlast.db\n"
    )


def test_environment_names_app_and_store_where_the_command_does_not(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OUTLAST_APP", "shop:app")
    monkeypatch.setenv("OUTLAST_STORE", "other.db")

    started = terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 1}')
    worked = terminal.type("worker", "--until-idle", "--log-level", "error")

    assert (started.exit, worked.exit, (terminal.directory / "shop.db").exists()) == (0, 0, False)
    assert terminal.type("run", "show", "o1", "--json").json["status"] == "success"


def test_module_that_is_a_program_is_told_how_to_be_imported(terminal: Terminal):
    (terminal.directory / "mine.py").write_text(HEAD + "import asyncio\nasyncio.run(asyncio.sleep(0))\n")

    answer = terminal.type("run", "list", "--app", "mine")

    assert (answer.exit, answer.out) == (2, "")
    assert answer.err == (
        "error: 'mine' starts a program of its own when it is imported: it calls asyncio.run(...)\n"
        'next: let it do so only as a program, and not when imported: if __name__ == "__main__": asyncio.run(...)\n'
    )
