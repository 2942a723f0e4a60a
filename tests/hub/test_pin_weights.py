"""The maintainers' program that reads pins from the Hub."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from zoo.spec import Weights

FILE = Path(__file__).parents[2] / "tools" / "pin_weights.py"
LARGE = b"w" * 5000


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("pin_weights", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed plugin's package, and a function that says which weights it names."""
    (tmp_path / "zoo_pinned.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = SimpleNamespace(__name__="zoo_pinned")

    def names(tool, *weights):
        spec = SimpleNamespace(variants=[SimpleNamespace(weights=one) for one in (*weights, None)])
        monkeypatch.setattr(
            tool, "entries", lambda: [SimpleNamespace(spec=spec, plugin=SimpleNamespace(module=module))]
        )

    yield names
    sys.modules.pop("zoo_pinned", None)


def test_pins_are_read_and_written_as_a_table_that_python_reads(hub, tool, plugin, tmp_path, capsys):
    commit = hub.commit("lab/tiny", {"model.safetensors": LARGE, "labels.txt": b"reef"})
    plugin(tool, *(Weights(repo="lab/tiny", file=name) for name in ("model.safetensors", "labels.txt")))
    assert tool.main(["--write"]) == 0
    space = {}
    exec((tmp_path / "pins.py").read_text(), space)
    assert space["PINS"] == {
        f"lab/tiny/{name}": {"revision": commit, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in (("model.safetensors", LARGE), ("labels.txt", b"reef"))
    }
    assert Weights(repo="lab/tiny", file="labels.txt", **space["PINS"]["lab/tiny/labels.txt"]).pinned
    assert [asked for kind, _, path, asked in hub.requests if path.endswith("model.safetensors")] == []


def test_file_that_changed_since_it_was_pinned_is_not_written_over(hub, tool, plugin, tmp_path, capsys):
    commit = hub.commit("lab/tiny", {"model.safetensors": LARGE})
    plugin(tool, Weights(repo="lab/tiny", file="model.safetensors", revision=commit, sha256="0" * 64, size=5000))
    assert tool.main(["--write"]) == 1
    assert "pinned is 000" in capsys.readouterr().err
    assert not (tmp_path / "pins.py").exists()


def test_file_that_is_gone_is_reported(hub, tool, plugin, capsys):
    hub.commit("lab/tiny", {"labels.txt": b"reef"})
    plugin(tool, Weights(repo="lab/tiny", file="model.safetensors"))
    assert tool.main([]) == 1
    assert "no file 'model.safetensors'" in capsys.readouterr().err
