"""Every released file of every installed model, from the real Hub. `make test-online`; never part of `make test`.

A file that is not pinned is read, hashed and reported; `tools/pin_weights.py --write` fills the pins in.
"""

import pytest
import torch

import zoo
from zoo.hub.fetch import fetch
from zoo.registry import entries

RELEASED = [
    pytest.param(f"{entry.plugin.distribution}:{entry.spec.name}@{variant.tag}", variant.weights, id=variant.tag)
    for entry in entries()
    for variant in entry.spec.variants
    if variant.weights is not None and variant.weights.repo is not None
]

pytestmark = [pytest.mark.online, pytest.mark.skipif(not RELEASED, reason="no installed model has released files")]


@pytest.mark.parametrize(("reference", "weights"), RELEASED)
def test_released_file_is_whole_pinned_and_loads_strictly(reference, weights, record_property):
    fetched = fetch(weights)
    record_property("revision", fetched.revision)
    record_property("sha256", fetched.sha256)
    record_property("size", fetched.size)
    model = zoo.load(reference)
    tensors = list(model.module.state_dict().values())
    assert tensors
    assert all(torch.isfinite(tensor).all() for tensor in tensors if tensor.is_floating_point())
    assert fetch(weights, offline=True) == fetched
    assert weights.pinned, (
        f"not pinned: revision={fetched.revision!r}, sha256={fetched.sha256!r}, size={fetched.size};"
        " `python tools/pin_weights.py --write` fills it in"
    )
