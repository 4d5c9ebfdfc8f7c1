"""How a server behaves."""

from __future__ import annotations

from datetime import timedelta

from outlast.errors import ConfigurationError
from outlast.immutable import frozen

__all__ = ["ServerOptions"]


@frozen
class ServerOptions:
    """How a server behaves. Times and sizes are bounds for one request."""

    prefix: str = "/api"
    """Where the API lies, as `/api`; empty for the root. Everything under it is protected in the same way."""
    allowed_hosts: tuple[str, ...] = ()
    """Without tokens: names in the `Host` header that are served besides those of this machine's loopback."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may call the API, as `https://ops.example.org`, besides its own."""
    max_body_bytes: int = 4_500_000
    """How large a body may be."""
    answer_timeout: timedelta = timedelta(seconds=180)
    """How long a request waits for a run to rest before it answers 504; the run goes on."""
    poll_timeout: timedelta = timedelta(seconds=60)
    """How long `?wait=` may be at most."""
    max_streams: int = 10_000
    """How many streams may be open at a time."""
    start_within: timedelta = timedelta(days=1)
    """How long a created run waits to be started before it ends `failed`."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: An option has a value that cannot work.
        """
        if self.prefix and (not self.prefix.startswith("/") or self.prefix.endswith("/")):
            message = f"prefix={self.prefix!r}: write it as '/api', or '' for the root"
            raise ConfigurationError(message)
        for origin in self.allowed_origins:
            if "://" not in origin or origin.count("/") != _SLASHES_OF_AN_ORIGIN:
                message = f"allowed_origins: {origin!r} is none; write it as 'https://ops.example.org'"
                raise ConfigurationError(message)
        times = (self.answer_timeout, self.poll_timeout, self.start_within)
        if min(self.max_body_bytes, self.max_streams) < 1 or min(times) <= timedelta(0):
            message = "max_body_bytes, max_streams, answer_timeout, poll_timeout and start_within are positive"
            raise ConfigurationError(message)


_SLASHES_OF_AN_ORIGIN = 2
