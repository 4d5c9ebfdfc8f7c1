"""Runs that live on a Temporal server; needs `pip install "outlast[temporal]"`.

Why it is as it is, docs/design/0009-temporal.md says. The modules, in the order in which they are best read:

The run, as a function of what reached it. All of this is pure: the workflow drives by it, and clients read with it.

- `ledger` folds what reaches a run, and says what must be done; `inbound` is what can reach it.
- `tasks` and `questions` make the messages for bodies, and for what else the author's code has to answer.
- `blocks`, `alarms`, `hearing`, `tidings`: what is recorded of blocks and of times that have come; of calls that began
  again and what their bodies said; which rests somebody must be told of.
- `graphs`, `opening`, `moving`: what a workflow begins with, at the start or where another one ended.

What travels between clients, workflow and activities.

- `messages` and `said` are the messages, `packing` their form; `payloads` hands them to the SDK.
- `apart`, `objects`, `carrying`: large ones lie in an object store. `pace`: what one workflow task may send.

The workflow.

- `flow` feeds the ledger, and does what it says: calls activities, sets the timer, shows the status.
- `attributes` are what lists see of it; `ends` counts how runs end.

A worker.

- `worker` and `plugin` put it together, in an app or in a program of the user's.
- `activities` call bodies and answer questions. Of one call: `attempt` is its time limit and its thread, `lookups`
  how it reaches recorded values, `mouth` how it says something, `pulse` its heartbeats, `past` its earlier tries.
- `telling` is the activity that calls hooks and exports spans.

The app.

- `options` is what users write, `place` where the server is, `engine` what an app works with, `lacks` what it lacks.
- `launching`, `updates`, `reopening`, `deleting` start a run, ask something of it, open its next execution, delete it.
- `reading` feeds the ledger from histories, `journal` does so for streams; `resting` waits for a rest, with what
  `sightings` say of runs that go on in this process; `tries` adds what histories do not tell of hooks.
- `lists` asks for many runs. `rpc` is what all requests have in common.

Idempotency keys and schedules: workflows of their own, which callers read without a worker.

- `keys` starts a run under a key; `holding` is the workflow that holds it.
- `kept` is a schedule as the pure fold of a history, `keeper` its workflow, `keeper_activities` what that asks of a
  worker; `schedules` is the store of them, `desk` starts the runs of firings.
"""

from __future__ import annotations

from outlast.engines.temporal.apart import with_object_store
from outlast.engines.temporal.objects import DirectoryObjectStore, ObjectStore
from outlast.engines.temporal.options import TemporalEngine
from outlast.engines.temporal.plugin import OutlastPlugin

__all__ = ["DirectoryObjectStore", "ObjectStore", "OutlastPlugin", "TemporalEngine", "with_object_store"]
