"""The client of the HTTP API. Needs the extra `client`: `pip install outlast[client]`."""

from __future__ import annotations

from outlast.client.beginning import RemoteRun
from outlast.client.client import Client
from outlast.client.handle import RemoteRunHandle, RemoteStartedRun
from outlast.client.stream import RemoteStream

__all__ = ["Client", "RemoteRun", "RemoteRunHandle", "RemoteStartedRun", "RemoteStream"]
