"""One of the processes that share `zoo` commands, started as torchrun starts them; takes commands as lines of JSON.

Importing torch takes seconds, so that one pair of processes serves all tests of a run; see `two_processes`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys

from zoo import plugins, registry
from zoo.cli import main


def answer(told: dict[str, object]) -> dict[str, object]:
    """Run one command with the plugins that stand in `told["path"]`."""
    os.environ.update(told["environment"])
    sys.path[:0] = told["path"]
    before, said, errors, code = set(sys.modules), io.StringIO(), io.StringIO(), 0
    importlib.invalidate_caches()
    plugins.plugins.cache_clear()
    registry.entries.cache_clear()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
            main(told["arguments"])
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else 1
    finally:
        del sys.path[: len(told["path"])]
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(tuple(told["path"])):
                del sys.modules[name]
    return {"code": code, "out": said.getvalue(), "err": errors.getvalue()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
