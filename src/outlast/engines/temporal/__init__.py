"""Runs that live on a Temporal server; needs `pip install "outlast[temporal]"`."""

from __future__ import annotations

from outlast.engines.temporal.options import TemporalEngine
from outlast.engines.temporal.plugin import OutlastPlugin

__all__ = ["OutlastPlugin", "TemporalEngine"]
