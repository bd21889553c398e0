"""What the reference costs; that it is right is what everything else is compared with."""

from dataclasses import replace

import pytest
import torch
from kernels.calls import CELLS, KINDS, make
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from elman import diagnostics, nn
from elman.kernels import reference


class _Written(TorchDispatchMode):
    """Counts the numbers that operators write into new tensors."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {one.untyped_storage().data_ptr() for one in args if isinstance(one, Tensor)}
        for one in result if isinstance(result, tuple | list) else [result]:
            if isinstance(one, Tensor) and one.untyped_storage().data_ptr() not in given:
                self.numbers += one.numel()
        return result


def _written_by_backward(cell, kind, steps):
    call = make(cell, (steps, 3, 5, 7), kind)
    if call.lengths is not None:
        call = replace(call, lengths=torch.tensor([steps, steps // 2, steps // 5]))
    loss = reference.scan(call)[0][0].sum()
    with _Written() as written:
        loss.backward()
    return written.numbers


@pytest.mark.parametrize("kind", ["dense", "all"])
@pytest.mark.parametrize("name", ["rnn_tanh", "gru", "lstm"])
def test_the_backward_pass_grows_with_the_steps_and_not_with_their_square(name, kind):
    short, long = (_written_by_backward(CELLS[name], KINDS[kind], steps) for steps in (50, 200))
    assert long < 5 * short


def test_no_steps_while_gradients_are_looked_at():
    layer = nn.LSTM(3, 4, backend="reference")
    state = tuple(torch.randn(1, 2, 4, requires_grad=True) for _ in range(2))
    with diagnostics.watch(layer):
        output, after = layer(torch.zeros(0, 2, 3), state, lengths=torch.tensor([0, 0]))
        sum(s.sum() for s in after).backward()
    assert output.shape == (0, 2, 4)
    for before, last in zip(state, after, strict=True):
        assert torch.equal(before, last)
        assert torch.equal(before.grad, torch.ones(1, 2, 4))
