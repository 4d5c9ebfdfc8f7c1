"""The processes of a soak, and the chance that kills and stops them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Chaos", "Member"]

ROOT = Path(__file__).resolve().parent.parent
_SHORT_STOP_S = (0.1, 3.0)
_LONG_STOP_S = (16.0, 19.0)
"""Longer than a lease, so that the runs of a stopped worker are taken over and it comes back to find them gone."""
_SHARE_OF_LONG_STOPS = 0.1


@dataclass
class Member:
    """One of the processes; after a kill, another one takes its place."""

    play: str
    directory: Path
    durability: str
    may_be_killed: bool
    process: subprocess.Popen[bytes] | None = None
    stopped_until: float | None = None
    stops: list[tuple[int, float, float]] = field(default_factory=list[tuple[int, float, float]])
    """Process, and the wall-clock milliseconds from and until which it was stopped."""

    @property
    def pid(self) -> int:
        return 0 if self.process is None else self.process.pid

    def begin(self) -> None:
        command = [sys.executable, "-m", "soak.child", self.play, str(self.directory), self.durability]
        with (self.directory / f"{self.play}.stderr").open("ab") as errors:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=errors, stdout=errors)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop_for(self, seconds: float) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self.stops.append((self.pid, time.time() * 1000, 0.0))
        self.stopped_until = time.monotonic() + seconds

    def go_on_if_due(self) -> None:
        if self.stopped_until is not None and time.monotonic() >= self.stopped_until:
            self.go_on()

    def go_on(self) -> None:
        if self.stopped_until is not None:
            os.kill(self.pid, signal.SIGCONT)
            pid, since, _ = self.stops[-1]
            self.stops[-1] = (pid, since, time.time() * 1000)
            self.stopped_until = None

    def end(self, within: float) -> bool:
        """Ask it to end in good order; say whether it did."""
        if self.process is None:
            return True
        self.go_on()
        self.process.terminate()
        try:
            return self.process.wait(timeout=within) == 0
        except subprocess.TimeoutExpired:
            self.kill()
            return False


class Chaos:
    """Every few seconds something happens to somebody."""

    def __init__(self, members: Sequence[Member], seed: int) -> None:
        self._members = members
        self._chance = random.Random(seed)
        self._next = time.monotonic() + 1.0
        self.kills = 0
        self.stops = 0

    def turn(self) -> None:
        """Let happen what is due."""
        for member in self._members:
            member.go_on_if_due()
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._chance.uniform(0.5, 3.0)
        victim = self._chance.choice([each for each in self._members if each.stopped_until is None] or [None])
        if victim is None:
            return
        if victim.may_be_killed and self._chance.random() < 0.6:
            self.kills += 1
            victim.kill()
            victim.begin()
            return
        self.stops += 1
        is_long = self._chance.random() < _SHARE_OF_LONG_STOPS
        victim.stop_for(self._chance.uniform(*(_LONG_STOP_S if is_long else _SHORT_STOP_S)))

    def end(self) -> None:
        """Let everybody go on."""
        for member in self._members:
            member.go_on()
