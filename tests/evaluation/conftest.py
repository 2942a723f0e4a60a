"""The toys of these tests, and of prediction's and the tasks', importable."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "predict", HERE.parent / "tasks"):
    sys.path.insert(0, str(folder))
