"""The toy plugin, installed in a temporary folder with weights and records of its own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.torch import save_file

from zoo import plugins, registry
from zoo.model import build
from zoo.testing import Subject, record, subject_of

TOY = Path(__file__).parent / "toy" / "zoo_toy"
Patch = tuple[str, str, str]  # file, what stands there, what shall


def forget() -> None:
    """Forget plugins and the toy's modules, so that edited files are read."""
    plugins.plugins.cache_clear()
    registry.entries.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo_toy"]:
        del sys.modules[name]


@dataclass(frozen=True, kw_only=True)
class Toy:
    """The installed toy; call it with patches to have them applied before its weights and records are made."""

    package: Path

    def __call__(self, *patches: Patch) -> Subject:
        shutil.copytree(TOY, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.edit(*patches)
        self.write_weights(seed=1)
        record(subject_of("toy"))
        return self.subject()

    def subject(self) -> Subject:
        """What is installed now."""
        forget()
        return subject_of("toy")

    def edit(self, *patches: Patch) -> None:
        for file, old, new in patches:
            text = (self.package / file).read_text()
            assert text.count(old) == 1, f"{file}: {old!r} stands there {text.count(old)} times"
            (self.package / file).write_text(text.replace(old, new))
        forget()

    def write_weights(self, seed: int) -> None:
        """Weights as a plugin ships them, drawn from `seed`."""
        save_file(build("toy", seed=seed, device="cpu").module.state_dict(), self.package / "demo.safetensors")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    site = tmp_path / "site"
    info = site / "zoo_toy-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-toy\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[zoo]\ntoy = zoo_toy\n")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two edits within a second would share one .pyc
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("ZOO_PLUGINS", "toy")
    yield Toy(package=site / "zoo_toy")
    forget()
