"""Many gradients at once: `torch.autograd.grad(is_grads_batched=True)`."""

import pytest
import torch
from tolerances import assert_close

from elman import nn
from elman.diagnostics import watch
from elman.kernels import cpu
from elman.ops import BackendError

LAYERS = [nn.RNN, nn.GRU, nn.LSTM]


@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 5])], ids=["even", "lengths"])
@pytest.mark.parametrize("layer", LAYERS)
def test_they_are_those_of_one_after_the_other(layer, lengths):
    layer = layer(3, 4).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    y, _ = layer(x, lengths=lengths)
    wanted, grads = [x, *layer.parameters()], torch.randn(6, *y.shape, dtype=torch.float64)
    found = torch.autograd.grad(y, wanted, grads, is_grads_batched=True, retain_graph=True)
    mapped = torch.vmap(lambda one: torch.autograd.grad(y, wanted, one, retain_graph=True))(grads)
    alone = [torch.autograd.grad(y, wanted, one, retain_graph=True) for one in grads]
    for many, other, each in zip(found, mapped, zip(*alone, strict=True), strict=True):
        assert_close(many, torch.stack(each), "backward")
        assert_close(other, torch.stack(each), "backward")


@pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")
def test_a_watched_layer_takes_one_at_a_time():
    layer, x = nn.GRU(3, 4), torch.randn(5, 2, 3, requires_grad=True)
    with watch(layer):
        y, _ = layer(x)
        with pytest.raises(BackendError, match="GRU: a watched layer takes one gradient at a time"):
            torch.autograd.grad(y, x, torch.randn(6, *y.shape), is_grads_batched=True)
