"""Runs that live on a Temporal server; needs `pip install "outlast[temporal]"`."""

from __future__ import annotations

from outlast.engines.temporal.apart import with_object_store
from outlast.engines.temporal.objects import DirectoryObjectStore, ObjectStore
from outlast.engines.temporal.options import TemporalEngine
from outlast.engines.temporal.plugin import OutlastPlugin

__all__ = ["DirectoryObjectStore", "ObjectStore", "OutlastPlugin", "TemporalEngine", "with_object_store"]
