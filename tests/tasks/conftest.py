"""The toys of these tests, importable, and installed as a plugin with weights of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def seeing(make_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """Install the toys as the model `seeing`; gives its name."""
    import torch
    from safetensors.torch import save_file

    site = make_plugin(
        "seeing",
        """
    import seeing_toys

    @hookimpl
    def zoo_register_models():
        return [seeing_toys.spec()]
    """,
    )
    monkeypatch.setenv("PYTHONPATH", f"{site}:{HERE}")
    package = site / "seeing_toys_site"
    package.mkdir()
    (package / "__init__.py").write_text("")
    save_file({"gain": torch.ones(1)}, package / "weights.safetensors")
    return "seeing"
