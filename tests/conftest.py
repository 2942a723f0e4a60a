"""Fixtures of the core's tests: plugins made on the spot, and a process that remembers nothing of other tests."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

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
    for module in made:
        sys.modules.pop(module, None)


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
