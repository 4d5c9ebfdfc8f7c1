"""Where the runs of an app are on a Temporal server."""

from __future__ import annotations

import asyncio
from typing import Final

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import RPCError, TLSConfig

from outlast.errors import StoreUnavailableError
from outlast.immutable import immutable

__all__ = ["Place"]

_PATIENCE: Final = 10.0


@immutable(kw_only=True)
class Place:
    """The server, and the names that an app uses there."""

    target: str | Client
    """Address of the server, or a connected client."""
    namespace: str
    """The namespace."""
    task_queue: str
    """What the workers listen to."""
    prefix: str
    """Goes before the run id in the id of each workflow."""
    api_key: str | None
    """For Temporal Cloud."""
    tls: bool | TLSConfig | None
    """For servers that want it."""
    data_converter: DataConverter
    """How payloads are encrypted, or kept elsewhere."""

    async def connect(self) -> Client:
        """Return a connected client.

        Raises:
            StoreUnavailableError: Nobody answers at the address.
        """
        if isinstance(self.target, Client):
            return self.target
        try:
            async with asyncio.timeout(_PATIENCE):
                return await Client.connect(
                    self.target,
                    namespace=self.namespace,
                    api_key=self.api_key,
                    tls=self.tls,
                    data_converter=self.data_converter,
                )
        except (RPCError, RuntimeError, TimeoutError) as error:
            message = f"no Temporal server answers at {self.target}: {error!r}"
            raise StoreUnavailableError(message) from error
