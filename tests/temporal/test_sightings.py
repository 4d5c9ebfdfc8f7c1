"""What a process sees of the runs that it awaits saves questions to the server, and delays nothing for long."""

from __future__ import annotations

from outlast.engines.temporal.sightings import RECENT, Sightings


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_run_goes_on_for_a_moment_after_it_was_heard_of() -> None:
    watch = Watch()
    sightings = Sightings(watch)

    with sightings.awaited("run"):
        assert not sightings.goes_on("run")
        sightings.note("run", goes_on=True)
        assert sightings.goes_on("run")
        watch.now += RECENT

        assert not sightings.goes_on("run")


def test_a_run_of_which_a_body_was_suspended_may_rest_at_once() -> None:
    sightings = Sightings(Watch())

    with sightings.awaited("run"):
        sightings.note("run", goes_on=True)
        sightings.note("run", goes_on=False)

        assert not sightings.goes_on("run")


def test_nothing_is_kept_of_runs_that_nobody_awaits() -> None:
    sightings = Sightings(Watch())

    with sightings.awaited("awaited"), sightings.awaited("awaited"):
        sightings.note("run", goes_on=True)
        sightings.note(None, goes_on=True)
        assert len(sightings) == 1

    assert len(sightings) == 0
    assert not sightings.goes_on("run")
