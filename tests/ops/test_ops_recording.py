"""`torch.jit.trace` of layers with lengths and resets: what was recorded reads those of each call."""

import pytest
import torch
from tolerances import assert_close

from elman import nn
from elman.kernels import cpu

pytestmark = [
    pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed"),
    pytest.mark.filterwarnings("ignore"),
]
LAYERS = {
    "rnn": lambda **more: nn.RNN(3, 4, **more),
    "gru": lambda **more: nn.GRU(3, 4, num_layers=2, **more),
    "lstm": lambda **more: nn.LSTM(3, 4, bidirectional=True, **more),
}


class _Called(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths, resets):
        return self.layer(x, lengths=lengths, resets=resets)[0]


@pytest.mark.parametrize("backend", ["auto", "cpu"])
@pytest.mark.parametrize("name", LAYERS)
def test_other_steps_rows_lengths_and_resets_than_those_that_were_recorded(name, backend):
    model = _Called(LAYERS[name](backend=backend))
    given = torch.randn(6, 3, 3), torch.tensor([2, 6, 1]), torch.rand(6, 3) < 0.3
    recorded = torch.jit.trace(model, given, check_trace=False)
    for steps, rows in ((9, 2), (4, 5)):
        lengths, resets = torch.randint(0, steps + 1, (rows,)), torch.rand(steps, rows) < 0.3
        x = torch.randn(steps, rows, 3)
        assert_close(recorded(x, lengths, resets), model(x, lengths, resets), "forward")
