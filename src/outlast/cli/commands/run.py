"""The group `outlast run`."""

from __future__ import annotations

from outlast.cli.command import command, make_group
from outlast.cli.commands.run_change import cancel, delete, resume
from outlast.cli.commands.run_read import list_runs, show, watch, why
from outlast.cli.commands.run_repair import fork, restart, step, time_travel
from outlast.cli.commands.run_start import start

__all__ = ["group"]

group = make_group("Start, look at and change runs.")
command(group, "start")(start)
command(group, "list")(list_runs)
command(group, "show")(show)
command(group, "watch")(watch)
command(group, "why")(why)
command(group, "resume")(resume)
command(group, "cancel")(cancel)
command(group, "restart")(restart)
command(group, "time-travel")(time_travel)
command(group, "fork")(fork)
command(group, "step")(step)
command(group, "delete")(delete)
