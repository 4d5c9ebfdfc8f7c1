from __future__ import annotations

import json

from cli.terminal import Terminal
from outlast.cli.exits import Exit

CODE = """
from outlast import Outlast, Retry, Workflow, step

@step(retries=2, timeout=30)
async def cut(n: int) -> int: ...

@step
async def glue(n: int) -> int: ...

inner = Workflow("inner", input=int, output=int).then(cut).commit()
everything = (
    Workflow("everything", input=list[int], output=int)
    .foreach(cut, concurrency=3)
    .map(lambda ctx: len(ctx.input))
    .parallel([glue, inner])
    .map(lambda ctx: 1, id="one")
    .branch([(lambda ctx: True, cut.clone(id="small")), (lambda ctx: False, glue.clone(id="large"))])
    .map(lambda ctx: 2, id="two")
    .dountil(glue.clone(id="again"), lambda ctx: True)
    .sleep(90)
    .wait_for("go", resume=int, timeout=3600)
    .commit()
)
app = Outlast([everything], store="all.db")
"""


def test_graph_draws_every_kind_of_node_as_a_tree(terminal: Terminal):
    (terminal.directory / "all_kinds.py").write_text(CODE)

    answer = terminal.type("workflow", "graph", "everything", "--app", "all_kinds")

    assert answer.out == (
        "everything  workflow\n"
        "├── cut  foreach, 3 at a time\n"
        "│   └── cut  step, tried again up to 2 times, at most 30.0s\n"
        "├── map  map\n"
        "├── parallel  parallel, all at once\n"
        "│   ├── glue  step\n"
        "│   └── inner  workflow\n"
        "│       └── cut  step, tried again up to 2 times, at most 30.0s\n"
        "├── one  map\n"
        "├── branch  branch, all that are true\n"
        "│   ├── small  step, tried again up to 2 times, at most 30.0s\n"
        "│   └── large  step\n"
        "├── two  map\n"
        "├── again  again until condition\n"
        "│   └── again  step\n"
        "├── sleep  sleep, 1m30s\n"
        "└── go  waits to be resumed, at most 1h00m\n"
    )


def test_graph_of_a_file_is_that_of_the_latest_run(terminal: Terminal):
    terminal.type("run", "start", "order", "-i", '{"n": 1}', "--app", "shop")
    (terminal.directory / "shop.py").unlink()

    text = terminal.type("workflow", "graph", "order", "--store", "shop.db")
    mermaid = terminal.type("workflow", "graph", "order", "--format", "mermaid", "--store", "shop.db")
    document = terminal.type("workflow", "graph", "order", "--json", "--store", "shop.db")
    unknown = terminal.type("workflow", "graph", "nope", "--store", "shop.db")

    assert text.out == "order  workflow\n├── price  step\n└── pack  step, tried again once\n"
    assert mermaid.out.startswith("flowchart TD\n")
    assert document.json["root"]["id"] == "order"
    assert (unknown.exit, unknown.err.splitlines()[0]) == (
        Exit.NOT_FOUND,
        "error: the file has no run of a workflow 'nope'",
    )


def test_list_of_an_app_shows_types_and_opens_no_store(terminal: Terminal):
    answer = terminal.type("workflow", "list", "--app", "shop")

    assert answer.out == (
        "WORKFLOW  INPUT           OUTPUT  DESCRIPTION\n"
        "order     dict[str, int]  str     Prices and packs.\n"
        "approval  str             int\n"
        "slow      str             str\n"
    )
    assert not (terminal.directory / "shop.db").exists()


def test_list_of_a_file_counts_runs_by_status(terminal: Terminal):
    terminal.type("run", "start", "order", "-i", '{"n": 1}', "--app", "shop", "--work")
    terminal.type("run", "start", "order", "-i", '{"n": 1}', "--app", "shop")

    text = terminal.type("workflow", "list", "--store", "shop.db")
    data = terminal.type("workflow", "list", "--store", "shop.db", "--json")

    assert text.out == "WORKFLOW  RUNS\norder     1 pending, 1 success\n"
    assert data.json == {"workflows": [{"workflowId": "order", "runs": {"pending": 1, "success": 1}}]}


LIMITED = """
from outlast import Concurrency, Outlast, RateLimit, Workflow, step

@step(retries=1)
async def write(customer: str) -> str: ...

reports = (
    Workflow(
        "reports",
        input=str,
        timeout=3600,
        max_recoveries=1,
        concurrency=[Concurrency(limit=1500), Concurrency(limit=3, key=lambda customer: customer, name="printer")],
        rate_limit=[RateLimit(limit=10, per=60, burst=5), RateLimit(limit=2, per=1, name="mail")],
    )
    .dountil(write, lambda ctx: True, max_iterations=10)
    .commit()
)
app = Outlast([reports], store="reports.db")
"""


def test_show_says_what_limits_the_runs_of_a_workflow(terminal: Terminal):
    (terminal.directory / "limited.py").write_text(LIMITED)

    answer = terminal.type("workflow", "show", "reports", "--app", "limited")

    assert answer.out.startswith(
        "workflow  reports\n"
        "input     str\n"
        "output    JSON\n"
        "limits    runs of workflow 'reports': 1,500 at a time\n"
        "          runs under 'printer' by a function: 3 at a time\n"
        "          rate of workflow 'reports': 10 begin in 1m00s, up to 5 at once\n"
        "          rate under 'mail': 2 begin in 1.0s\n"
        "\n"
        "reports  workflow, at most 1h00m, recovered once\n"
        "└── write  again until condition, up to 10 times\n"
        "    └── write  step, tried again once\n"
    )


def test_show_says_what_the_input_may_be(terminal: Terminal):
    text = terminal.type("workflow", "show", "order", "--app", "shop")
    data = terminal.type("workflow", "show", "order", "--app", "shop", "--json").json

    assert "input        dict[str, int]\n" in text.out
    assert json.loads(text.out.partition("What the input may be:\n")[2]) == data["inputSchema"]
    assert data["inputSchema"]["additionalProperties"] == {"type": "integer"}
    assert (data["workflowId"], data["graph"]["root"]["id"]) == ("order", "order")
