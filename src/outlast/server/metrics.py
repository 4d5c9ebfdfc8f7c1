"""Numbers of what a server did, in the text form that Prometheus reads."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

__all__ = ["Metrics"]


class Metrics:
    """Counts answers by route: paths of requests are not counted, because there is no end of them."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._seconds: defaultdict[tuple[str, str], float] = defaultdict(float)

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer, and how long it took until it began."""
        self._answers[method, route, status] += 1
        self._seconds[method, route] += seconds

    def render(self, *, open_streams: int) -> str:
        """Return all numbers as text."""
        return "\n".join([*self._lines(open_streams), ""])

    def _lines(self, open_streams: int) -> Iterator[str]:
        yield "# HELP outlast_http_answers_total Answers by route and status."
        yield "# TYPE outlast_http_answers_total counter"
        for (method, route, status), number in sorted(self._answers.items()):
            labels = f'method="{method}",route="{route}",status="{status}"'
            yield f"outlast_http_answers_total{{{labels}}} {number}"
        yield "# HELP outlast_http_seconds_total Seconds until answers began, by route."
        yield "# TYPE outlast_http_seconds_total counter"
        for (method, route), seconds in sorted(self._seconds.items()):
            yield f'outlast_http_seconds_total{{method="{method}",route="{route}"}} {seconds:.6f}'
        yield "# HELP outlast_http_open_streams Streams that are open now."
        yield "# TYPE outlast_http_open_streams gauge"
        yield f"outlast_http_open_streams {open_streams}"
