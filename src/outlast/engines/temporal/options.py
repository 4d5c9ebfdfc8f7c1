"""How an app finds its Temporal server, and what of Temporal it uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import TLSConfig

from outlast.engines.base import Engine
from outlast.engines.capability import Capability
from outlast.engines.options import DriveOptions
from outlast.engines.temporal.apart import with_object_store
from outlast.engines.temporal.engine import BoundEngine
from outlast.engines.temporal.lacks import lacking
from outlast.engines.temporal.objects import ObjectStore
from outlast.engines.temporal.place import Place
from outlast.errors import ConfigurationError
from outlast.graph.committed import CommittedWorkflow

__all__ = ["TemporalEngine"]


class TemporalEngine:
    """Runs an app's workflows on a Temporal server: `Outlast([...], engine=TemporalEngine("localhost:7233"))`."""

    def __init__(
        self,
        target: str | Client = "localhost:7233",
        *,
        namespace: str = "default",
        task_queue: str = "outlast",
        prefix: str = "",
        api_key: str | None = None,
        tls: bool | TLSConfig | None = None,
        data_converter: DataConverter | None = None,
        object_store: ObjectStore | None = None,
    ) -> None:
        """Say where the server is; nothing is opened before the app is entered.

        Args:
            target: Address of the server, or a client that is connected already: then it brings what `namespace`,
                `api_key`, `tls`, `data_converter` and `object_store` would say.
            namespace: The namespace of the server.
            task_queue: What the workers of this app listen to; all workers of one queue must know its workflows.
            prefix: Goes before the run id in the id of each workflow, so that apps can share a namespace.
            api_key: For Temporal Cloud.
            tls: For servers that want it; with certificates for mTLS.
            data_converter: How payloads are encrypted; None for the SDK's default.
            object_store: Where values lie that are too large for the server; None to refuse them.

        Raises:
            ConfigurationError: An option has a value that cannot work.
        """
        is_connected = isinstance(target, Client)
        if is_connected and (namespace != "default" or api_key or tls is not None or data_converter):
            message = "a client brings its own namespace, api_key, tls and data_converter; leave them out"
            raise ConfigurationError(message)
        if is_connected and object_store is not None:
            message = "connect the client with `data_converter=with_object_store(...)` instead of giving `object_store`"
            raise ConfigurationError(message)
        converter = data_converter or DataConverter.default
        if object_store is not None:
            converter = with_object_store(object_store, converter)
        self._place = Place(
            target=target,
            namespace=namespace,
            task_queue=task_queue,
            prefix=prefix,
            api_key=api_key,
            tls=tls,
            data_converter=converter,
        )

    def attach(self, workflows: Sequence[CommittedWorkflow[Any, Any]], options: DriveOptions) -> Engine:
        """Return the engine of one app.

        Raises:
            UnsupportedByEngineError: A workflow or an option needs what this engine lacks.
        """
        if options.on_exit == "finish":
            raise lacking(Capability.IDLENESS)
        if options.stream_retention is not None:
            raise lacking(Capability.SILENCING)
        if options.concurrency is not None or any(workflow.limits for workflow in workflows):
            raise lacking(Capability.KEYED_LIMITS)
        return BoundEngine(self._place, workflows, options)
