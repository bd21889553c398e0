"""Weights chosen for learning over many steps."""

import pytest
import torch

import elman


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", [elman.nn.RNN, elman.nn.LSTM])
def test_recurrent_weights_of_low_precision_are_orthogonal(kind, dtype):
    layer = kind(3, 8, dtype=dtype, init="recurrent")
    for block in layer.weight_hh_l0.detach().chunk(len(layer.cell.gates)):
        assert block.dtype == dtype
        found = block.double() @ block.double().T
        near = torch.finfo(dtype).eps
        torch.testing.assert_close(found, torch.eye(8).double(), rtol=0, atol=near)
    # those of float32, rounded
    torch.manual_seed(0)
    low = kind(3, 8, dtype=dtype, init="recurrent").weight_hh_l0
    torch.manual_seed(0)
    exact = kind(3, 8, init="recurrent").weight_hh_l0
    torch.testing.assert_close(low.float(), exact, rtol=torch.finfo(dtype).eps, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_recurrent_weights_are_what_torch_draws(dtype):
    layer = elman.nn.GRU(3, 7, dtype=dtype, init="recurrent")
    torch.manual_seed(5)
    layer.reset_parameters()
    torch.manual_seed(5)
    for block in layer.weight_ih_l0.detach().clone().chunk(3):
        torch.nn.init.xavier_uniform_(block)
    for block in layer.weight_hh_l0.detach().chunk(3):
        expected = torch.nn.init.orthogonal_(torch.empty(7, 7, dtype=dtype))
        assert torch.equal(block, expected)
