"""Layers: drop-ins for torch.nn's recurrent layers, and what the tasks build on them."""

from ._cells import GRUCell, LSTMCell, RNNCell
from ._change import change_cell
from ._convert import convert
from ._custom import CustomRNN
from ._explain import Explanation, explain
from ._gru import GRU
from ._lstm import LSTM
from ._pooling import Pooling
from ._recurrent import Recurrent
from ._rnn import RNN
from ._stepper import Stepper
from ._trace import Trace

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "CustomRNN",
    "Explanation",
    "GRUCell",
    "LSTMCell",
    "Pooling",
    "RNNCell",
    "Recurrent",
    "Stepper",
    "Trace",
    "change_cell",
    "convert",
    "explain",
]

# tracebacks and reprs show the public path
for _name in __all__:
    globals()[_name].__module__ = __name__
