"""The toy model of these tests, importable, and installed as a plugin with weights of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def installed_additive(make_plugin) -> str:
    """Install the toy as a plugin whose weights ship inside it; gives the reference to load."""
    import torch
    from safetensors.torch import save_file

    site = make_plugin("additive", "\n    from additive_network.network import zoo_register_models\n")
    package = site / "additive_network"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "network.py").write_text((HERE / "toy_additive.py").read_text())
    save_file({"gain": torch.ones(1)}, package / "weights.safetensors")
    return "additive"
