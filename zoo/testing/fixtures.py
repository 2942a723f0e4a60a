"""pytest fixtures for plugins' own tests; pytest finds them through the entry point `pytest11`."""

from __future__ import annotations
