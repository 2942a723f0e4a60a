"""The toy model of these tests, importable, and installed as a plugin with weights of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def installed_toy(make_plugin: Callable[..., Path]) -> str:
    """Install the toy as a plugin whose weights ship inside it; gives the reference to load."""
    import torch
    from safetensors.torch import save_file

    site = make_plugin(
        "toy",
        """
    def toy():
        from dataclasses import replace
        from zoo.spec import Band, Capability, Fill, Normalise, Weights

        spec = model("toy")
        image = InputSpec(
            name="image", kind=Kind.RASTER, label="toy", window=32, multiple=4,
            bands=tuple(Band(id=f"S2:{name}", unit="DN") for name in ("B02", "B03", "B04")),
            steps=(Normalise(mean=(30.0, 32.0, 28.0), std=(16.0, 18.0, 20.0), source="ours"), Fill(source="ours")),
        )
        variant = Variant(
            tag="mean", builder="toy_network.network:PatchMean", inputs=(image,), stride=4,
            weights=Weights(file="toy_network:weights.safetensors"),
        )
        return replace(spec, task=Task.PRETRAIN, variants=(variant,), capabilities=(Capability.EMBED,))

    @hookimpl
    def zoo_register_models():
        return [toy()]
    """,
    )
    package = site / "toy_network"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "network.py").write_text((HERE / "toy.py").read_text())
    save_file({"gain": torch.full((1,), 2.0)}, package / "weights.safetensors")
    return "toy"
