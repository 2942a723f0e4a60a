"""Commit, SHA-256 and size of the published files, as the Hub declared them; written by tools/pin_weights.py."""

from typing import Any

PINS: dict[str, dict[str, Any]] = {}
