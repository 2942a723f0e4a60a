"""Linear layers by oneDNN answer as PyTorch's own do, whatever the batch and the threads."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from zoo.inference import LinearsByOneDnn, inference

pytestmark = pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this PyTorch has no oneDNN")


def layer_and_rows(*shape, outputs=37):
    torch.manual_seed(0)
    return nn.Linear(shape[-1], outputs), torch.randn(*shape)


@pytest.mark.parametrize("shape", [(5, 48), (2, 7, 48), (1, 48)])
def test_a_linear_layer_answers_the_same_numbers(shape):
    layer, x = layer_and_rows(*shape)
    exact = x.double() @ layer.weight.double().T + layer.bias.double()
    with torch.inference_mode(), LinearsByOneDnn():
        found = layer(x)
        without_bias = functional.linear(x, layer.weight)
    assert found.shape == (*shape[:-1], 37)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-6)
    torch.testing.assert_close(without_bias.double(), exact - layer.bias.double(), rtol=0, atol=2e-6)


def test_a_row_is_the_same_to_the_bit_in_any_batch_and_with_any_number_of_threads():
    layer, x = layer_and_rows(150, 192, outputs=576)
    before, found = torch.get_num_threads(), []
    try:
        for threads, rows in ((1, 150), (2, 150), (1, 8), (2, 3), (1, 1)):
            torch.set_num_threads(threads)
            with torch.inference_mode(), LinearsByOneDnn():
                found.append(layer(x[:rows])[:1])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, found[0]) for one in found)


def test_other_numbers_are_computed_as_ever():
    layer, x = layer_and_rows(4, 16)
    with torch.inference_mode(), LinearsByOneDnn():
        assert layer.double()(x.double()).dtype == torch.float64
        assert layer.float()(x[0]).shape == (37,)
        assert layer(x[:0]).shape == (0, 37)
        assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_inference_keeps_no_gradients_and_reduces_on_demand():
    layer, x = layer_and_rows(4, 16)
    cpu = torch.device("cpu")
    with inference(cpu):
        assert not layer(x).requires_grad
        assert layer(x).dtype == torch.float32
    with inference(cpu, "bf16"):
        assert layer(x).dtype == torch.bfloat16
    assert layer(x).requires_grad
