"""A sync program: it starts a run, waits for it and prints what came of it."""

from __future__ import annotations

from outlast import Outlast, Workflow, step
from outlast.sync import Door


@step
def count_words(text: str) -> int:
    return len(text.split())


counting = Workflow("counting", input=str, output=int).then(count_words).commit()

with Door(Outlast([counting], store="counting.db")) as wait:
    run = wait(counting.create_run())
    print(wait(run.start(input_data="to be or not to be")).unwrap(), "words")
