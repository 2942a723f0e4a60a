"""Fixtures of the core's tests: plugins made on the spot, and a process that remembers nothing of other tests."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[1]

MODEL = """
    from zoo.hookspecs import hookimpl
    from zoo.spec import Band, InputSpec, Kind, Licences, ModelSpec, Paper, Task, Variant

    def model(name):
        return ModelSpec(
            name=name, task=Task.SEGMENT, summary="a toy",
            paper=Paper(title="A toy", bibtex="@misc{toy}"), repository=None,
            licences=Licences(code="MIT", weights=None, data=None),
            variants=(
                Variant(tag="small", builder="NOWHERE.network:build",
                        inputs=(InputSpec(name="image", kind=Kind.RASTER, bands=(Band(id="S2:B04", unit="DN"),)),)),
                Variant(tag="large", builder="NOWHERE.network:build",
                        inputs=(InputSpec(name="image", kind=Kind.RASTER, bands=(Band(id="S2:B08", unit="DN"),)),)),
            ),
        )
"""


def forget() -> None:
    """Make the next call discover plugins anew."""
    from zoo import plugins, registry

    plugins.plugins.cache_clear()
    registry.entries.cache_clear()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    for name in ("ZOO_PLUGINS", "ZOO_STRICT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
    forget()
    yield
    forget()


@pytest.fixture
def make_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """`make_plugin(name, code)` installs a plugin: a module `zoo_<name>` and the metadata that names it."""
    site = tmp_path / "site"
    site.mkdir()
    made: list[str] = []

    def make(name: str, code: str = "", *, distribution: str | None = None, entry: str | None = None) -> Path:
        distribution = distribution or f"zoo-{name}"
        module = distribution.replace("-", "_")
        made.append(module)
        (site / f"{module}.py").write_text(textwrap.dedent(MODEL) + textwrap.dedent(code))
        info = site / f"{module}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text(f"[zoo]\n{entry or name} = {module}\n")
        forget()
        return site

    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    yield make
    for name, module in list(sys.modules.items()):
        if name in made or str(getattr(module, "__file__", "")).startswith(f"{site}{os.sep}"):
            del sys.modules[name]


@pytest.fixture
def zoo_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`zoo_command("list", "--json")` runs the command line in this process: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        from zoo.cli import main

        capsys.readouterr()
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as err:
            code = err.code if isinstance(err.code, int) else 1
        out, err_text = capsys.readouterr()
        return code, out, err_text

    return run


class Pair:
    """Two processes that share commands, started when first asked."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def ask(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        """What each says of a command: `code`, `out`, `err`."""
        if not self._running:
            self._start()
        limit = threading.Timer(120, self.stop)
        limit.start()
        for process in self._running:
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()
        lines = [process.stdout.readline() for process in self._running]
        limit.cancel()
        if not all(lines):
            self.stop()
        assert all(lines), "a process ended, or did not answer in time"
        return [json.loads(line) for line in lines]

    def stop(self) -> None:
        for process in self._running:
            process.kill()
        for process in self._running:
            with contextlib.suppress(BrokenPipeError):
                process.communicate()
        self._running = []

    def _start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for rank in ("0", "1"):
            own = {"RANK": rank, "LOCAL_RANK": rank, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
            self._running.append(
                subprocess.Popen(
                    [sys.executable, Path(__file__).with_name("rank.py")],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, **shared, **own},
                )
            )


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.stop()


@pytest.fixture
def two_processes(pair: Pair) -> Callable[..., None]:
    """`two_processes("embed", ...)` runs the command line in two processes that share the work; it must succeed."""

    def run(*arguments: object) -> None:
        path = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
        environment = {name: os.environ[name] for name in ("ZOO_CACHE",)}
        told = {"arguments": [str(one) for one in arguments], "path": path, "environment": environment}
        first, second = pair.ask(told)
        assert (first["code"], second["code"]) == (0, 0), (first, second)

    return run
