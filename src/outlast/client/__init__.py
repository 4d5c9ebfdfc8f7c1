"""The client of the HTTP API. Needs the extra `client`: `pip install outlast[client]`."""

from __future__ import annotations

from outlast.client.client import Client
from outlast.client.handle import RemoteRun, RemoteRunHandle, RemoteStartedRun

__all__ = ["Client", "RemoteRun", "RemoteRunHandle", "RemoteStartedRun"]
