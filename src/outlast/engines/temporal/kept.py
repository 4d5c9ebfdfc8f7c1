"""A schedule as its keeper has it: a fold of the signals in the history of a workflow.

The workflow and whoever reads its history fold the same messages in the same order. So a schedule is read, and changed
by a signal that names the version that was read, while no worker lives: of several such signals the first one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from outlast.engines.temporal.packing import pack, unpack
from outlast.immutable import immutable, new_dict
from outlast.storage.keys import ScheduleKey
from outlast.storage.scheduling import NewSchedule, ScheduleChange, ScheduleRow, TriggerRow
from outlast.values import InvalidValueError, JsonValue

__all__ = ["CHANGE", "DONE", "Beginning", "Done", "Kept", "PlannedChange", "key_of", "place_of"]

CHANGE: Final = "outlast:change"
"""Name of the signal that changes a schedule."""
DONE: Final = "outlast:done"
"""Name of the signal that tells what became of the runs that a change starts."""

_REMEMBERED: Final = 100
"""How many of the latest changes can be told from one another by those who made them."""
_UUID_BYTES: Final = 16


def key_of(first_run: str, schedule_id: str) -> ScheduleKey:
    """Return the number of a schedule: it says its id, and which of the schedules that had this id it is."""
    return ScheduleKey(int.from_bytes(b"\1" + bytes.fromhex(first_run.replace("-", "")) + schedule_id.encode()))


def place_of(key: ScheduleKey) -> tuple[str, str]:
    """Return what `key_of` was given; the first of the two without dashes."""
    raw = key.to_bytes((key.bit_length() + 7) // 8)[1:]
    return raw[:_UUID_BYTES].hex(), raw[_UUID_BYTES:].decode()


@immutable
class Beginning:
    """A run that is to be started because its firing was claimed."""

    trigger: TriggerRow
    """The firing. It is shown once the run is there."""
    plan: bytes | None = None
    """What the schedule said when it was claimed; None for what it says now."""


@immutable
class PlannedChange:
    """A change of a schedule, as it is sent."""

    change_id: str
    """Made up by whoever sends it."""
    change: ScheduleChange
    """What to write. Its key and its runs are not sent: the triggers name the runs."""

    def to_bytes(self) -> bytes:
        """Return the message."""
        change = self.change
        header: dict[str, JsonValue] = {
            "change_id": self.change_id,
            "version": change.version,
            "status": change.status,
            "due_at_ms": change.due_at_ms,
            "at_ms": change.at_ms,
            "is_waiting": change.is_waiting,
            "has_plan": change.plan is not None,
            "is_edit": change.is_edit,
            "triggers": [_trigger_to_json(each) for each in change.triggers],
            "cancels": list(change.cancels),
        }
        return pack(header, change.memory, change.plan)

    @classmethod
    def from_bytes(cls, message: bytes) -> PlannedChange:
        """Return what `to_bytes` wrote."""
        header, raws = unpack(message)
        said = cast("dict[str, Any]", header)
        change = ScheduleChange(
            key=ScheduleKey(0),
            version=said["version"],
            status=said["status"],
            due_at_ms=said["due_at_ms"],
            memory=raws[0],
            at_ms=said["at_ms"],
            is_waiting=said["is_waiting"],
            plan=raws[1] if said["has_plan"] else None,
            is_edit=said["is_edit"],
            triggers=[_trigger_of(each) for each in said["triggers"]],
            cancels=said["cancels"],
        )
        return cls(said["change_id"], change)


@immutable
class Done:
    """What became of the runs that a change starts, and which were asked to cancel."""

    triggers: Sequence[TriggerRow] = ()
    """The firings as they turned out."""
    cancels: Sequence[str] = ()
    """Ids of the runs."""

    def to_bytes(self) -> bytes:
        """Return the message."""
        return pack({"triggers": [_trigger_to_json(each) for each in self.triggers], "cancels": list(self.cancels)})

    @classmethod
    def from_bytes(cls, message: bytes) -> Done:
        """Return what `to_bytes` wrote."""
        said = cast("dict[str, Any]", unpack(message)[0])
        return cls([_trigger_of(each) for each in said["triggers"]], said["cancels"])


@dataclass(slots=True)
class Kept:
    """One schedule, its triggers, and what is still to be done about it outside."""

    row: ScheduleRow
    """The schedule; its key is that of the reader."""
    triggers: dict[int, TriggerRow] = field(default_factory=new_dict)
    """The latest triggers by number."""
    changes: dict[int, str] = field(default_factory=new_dict)
    """Ids of the latest changes by the version that they made."""
    beginnings: dict[int, Beginning] = field(default_factory=new_dict)
    """Runs to be started, by the numbers of their triggers."""
    cancels: dict[str, None] = field(default_factory=new_dict)
    """Ids of runs to be asked to cancel, in order."""

    @classmethod
    def of(cls, new: NewSchedule) -> Kept:
        """Begin with a new schedule."""
        return cls(ScheduleRow.of(new, ScheduleKey(0)))

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be done outside."""
        return not self.beginnings and not self.cancels

    def take(self, name: str, message: bytes) -> None:
        """Fold a signal; what is no message of this package is passed over, so that nobody can stop a schedule.

        Raises:
            UnknownMessageError: A newer version wrote it.
        """
        try:
            if name == CHANGE:
                self._change(PlannedChange.from_bytes(message))
            elif name == DONE:
                self._note(Done.from_bytes(message))
        except (InvalidValueError, AttributeError, LookupError, TypeError, ValueError):
            return

    def _change(self, planned: PlannedChange) -> None:
        change, row = planned.change, self.row
        if change.version != row.version:
            return
        if change.plan is not None:
            for number, each in self.beginnings.items():
                self.beginnings[number] = replace(each, plan=row.plan if each.plan is None else each.plan)
        for trigger in change.triggers:
            if trigger.outcome == "fired":
                self.beginnings[trigger.number] = Beginning(trigger)
            else:
                self.triggers[trigger.number] = trigger
        self.cancels |= dict.fromkeys(change.cancels)
        self.row = row.changed(change)
        self.changes[self.row.version] = planned.change_id
        self.changes.pop(self.row.version - _REMEMBERED, None)
        self._forget()

    def _note(self, done: Done) -> None:
        for trigger in done.triggers:
            if self.beginnings.pop(trigger.number, None) is not None:
                self.triggers[trigger.number] = trigger
        for run_id in done.cancels:
            self.cancels.pop(run_id, None)
        self._forget()

    def _forget(self) -> None:
        for number in [each for each in self.triggers if each <= self.row.last_forgotten]:
            del self.triggers[number]

    def to_bytes(self, *, most: int) -> bytes:
        """Return the message with which its keeper begins, when nothing is to be done outside.

        Args:
            most: How many bytes it may have. Where that is not enough for all triggers, it has the latest ones.
        """
        triggers = [self.triggers[number] for number in sorted(self.triggers)]
        while True:
            message = self._to_bytes(triggers)
            if len(message) <= most or not triggers:
                return message
            triggers = triggers[len(triggers) // 2 + 1 :]

    def _to_bytes(self, triggers: Sequence[TriggerRow]) -> bytes:
        row = self.row
        header: dict[str, JsonValue] = {
            "id": row.id,
            "version": row.version,
            "workflow_id": row.workflow_id,
            "is_declared": row.is_declared,
            "status": row.status,
            "due_at_ms": row.due_at_ms,
            "is_waiting": row.is_waiting,
            "last_number": row.last_number,
            "created_at_ms": row.created_at_ms,
            "updated_at_ms": row.updated_at_ms,
            "triggers": [_trigger_to_json(each) for each in triggers],
            "changes": [[version, change_id] for version, change_id in self.changes.items()],
        }
        return pack(header, row.plan, row.memory)

    @classmethod
    def from_bytes(cls, message: bytes, key: ScheduleKey) -> Kept:
        """Return what `to_bytes` wrote."""
        header, raws = unpack(message)
        said = cast("dict[str, Any]", header)
        triggers = [_trigger_of(each) for each in said.pop("triggers")]
        changes = dict(cast("list[tuple[int, str]]", said.pop("changes")))
        del said["v"]
        row = ScheduleRow(key=key, plan=raws[0], memory=raws[1], **said)
        return cls(row, {each.number: each for each in triggers}, changes)


def _trigger_to_json(trigger: TriggerRow) -> JsonValue:
    return [
        trigger.number,
        trigger.kind,
        trigger.scheduled_at_ms,
        trigger.until_ms,
        trigger.count,
        trigger.at_ms,
        trigger.outcome,
        trigger.run_id,
        trigger.reason,
    ]


def _trigger_of(said: Any) -> TriggerRow:  # noqa: ANN401 - JSON
    return TriggerRow(*said)
