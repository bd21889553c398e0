"""How far back does a network's gradient reach, and how far does its data need it?

Writes `gradient-reach.png` and `gradient-unrolled.png`.
"""

import torch

import elman
from elman.diagnostics import diagnose, need, plot_reach, plot_unrolled, probe

torch.manual_seed(0)
text = "the gradient fades away"
x = torch.randn(len(text) * 5, 64, 4)
# the answer is the first number of a sequence, which enough data tells by itself
many = torch.randn(len(x), 2000, 1)
needed = need(many.numpy(), many[0, :, 0].numpy())
print(f"the answer lies {needed.lag} steps back")


class Stack(torch.nn.Module):
    """A simple layer under an LSTM that remembers longer."""

    def __init__(self) -> None:
        super().__init__()
        self.tanh, self.lstm = elman.nn.RNN(4, 64), elman.nn.LSTM(64, 64, init="recurrent")
        elman.diagnostics.remedies.chrono(self.lstm, 60)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The LSTM's outputs."""
        return self.lstm(self.tanh(x)[0])[0]


simple = elman.nn.RNN(4, 64)
found = diagnose(simple, x, needed=needed)
print(found)
plot_reach(probe(simple, x), "gradient-reach.png", found)
norms = probe(simple, x[-len(text) :]).norms
plot_unrolled(next(iter(norms.values()))[::-1, 0], "gradient-unrolled.png", list(text))
print(diagnose(Stack(), x, needed=needed).sentence())
