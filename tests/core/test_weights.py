"""Which weights a model has is known by their bytes, wherever they come from."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import zoo
from zoo import registry
from zoo.errors import WeightsError
from zoo.progress import download_bar

NETWORK = """
    import torch
    from dataclasses import replace
    from zoo.spec import Weights

    def build():
        return torch.nn.Linear(2, 3)

    @hookimpl
    def zoo_register_models():
        spec = model("shipped")
        weights = Weights(file="shipped_data:weights.safetensors", sha256=SHA256)
        variants = [replace(spec.default, builder="zoo_shipped:build", weights=weights)]
        return [replace(spec, variants=tuple(variants))]
"""


@pytest.fixture
def shipped(make_plugin):
    """`shipped(pin)` installs a plugin with weights inside; gives their file."""
    from safetensors.torch import save_file

    def make(pin: str | None = None) -> Path:
        state = {"weight": torch.full((3, 2), 2.0), "bias": torch.zeros(3)}
        site = make_plugin("shipped", NETWORK.replace("SHA256", repr(pin)))
        (site / "shipped_data").mkdir()
        (site / "shipped_data" / "__init__.py").write_text("")
        save_file(state, site / "shipped_data" / "weights.safetensors")
        return site / "shipped_data" / "weights.safetensors"

    yield make
    sys.modules.pop("shipped_data", None)


def test_shipped_weights_say_their_hash(shipped):
    file = shipped()
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    model = zoo.load("shipped", device="cpu")
    assert model.origin.sha256 == expected
    assert model.provenance({}).tags()["ZOO_SHA256"] == expected


def test_shipped_weights_that_differ_from_their_pin_are_refused(shipped):
    file = shipped("0" * 64)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=f"weights.safetensors has SHA-256 {found}, its description says 000"):
        zoo.load("shipped", device="cpu")


def test_shipped_weights_are_hashed_once(shipped, monkeypatch):
    shipped()
    zoo.load("shipped", device="cpu")
    monkeypatch.setattr("zoo.checkpoints.layouts.sha256_of", lambda _: pytest.fail("hashed again"))
    assert len(zoo.load("shipped", device="cpu").origin.sha256) == 64


def test_random_networks_differ_in_provenance(shipped):
    shipped()
    one, same, other = (zoo.build("shipped", seed=seed, device="cpu") for seed in (0, 0, 1))
    told = [model.provenance({}) for model in (one, same, other)]
    assert [item.weights for item in told] == ["random"] * 3
    assert told[0].sha256 == told[1].sha256 != told[2].sha256
    with torch.no_grad():
        same.module.bias += 1
    assert same.provenance({}).sha256 != told[1].sha256


@pytest.mark.parametrize("terminal", [True, False])
def test_the_download_bar_is_for_terminals(monkeypatch, capsys, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with download_bar() as bar:
        assert capsys.readouterr().err == ""  # nothing to download, nothing to see
        bar("model.safetensors", 50, 100)
    assert ("model.safetensors" in capsys.readouterr().err) is terminal


def test_load_shows_the_bar_while_weights_arrive(shipped, monkeypatch):
    file = shipped()
    spec = registry.find("shipped")[0].spec
    weights = replace(spec.default.weights, repo="lab/shipped", file="weights.safetensors")
    remote = replace(spec, variants=(replace(spec.default, weights=weights),))
    entry = replace(registry.find("shipped")[0], spec=remote)
    monkeypatch.setattr(registry, "find", lambda _: (entry, remote.default))
    shown = []

    def fetch(weights, *, progress, **_):
        from zoo.hub.fetch import Fetched

        progress(weights.file, 1, 2)
        return Fetched(path=file, sha256="1" * 64, revision="0" * 40, size=2)

    monkeypatch.setattr("zoo.hub.fetch.fetch", fetch)
    monkeypatch.setattr("zoo.progress._bytes_bar", lambda: _Shown(shown))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert zoo.load("shipped", device="cpu").origin.revision == "0" * 40
    assert shown == [("weights.safetensors", 1)]


class _Shown:
    def __init__(self, shown):
        self.shown = shown

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def add_task(self, name, total):
        assert total == 2
        return name

    def update(self, task, completed):
        self.shown.append((task, completed))
