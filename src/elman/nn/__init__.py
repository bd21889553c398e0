"""Layers: drop-ins for torch.nn's recurrent layers, and what the tasks build on them."""

from ._attention import Attention
from ._bridge import Bridge
from ._cells import GRUCell, LSTMCell, RNNCell
from ._change import change_cell
from ._convert import convert
from ._crf import CRF
from ._ctc import ctc_beam, ctc_greedy
from ._custom import CustomRNN
from ._decoding import (
    Hypothesis,
    beam_search,
    check_drawing,
    draw,
    length_penalty,
    sample_sequences,
)
from ._encoder_decoder import EncoderDecoder, Writing
from ._explain import Explanation, explain
from ._gru import GRU
from ._lstm import LSTM
from ._many_to_many import ManyToMany
from ._many_to_one import ManyToOne
from ._one_to_many import OneToMany
from ._one_to_one import OneToOne
from ._packed import pack_padded_sequence, pad_packed_sequence
from ._pooling import Pooling
from ._recurrent import Recurrent
from ._rnn import RNN
from ._stepper import Stepper
from ._trace import Trace

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "RNN",
    "Attention",
    "Bridge",
    "CustomRNN",
    "EncoderDecoder",
    "Explanation",
    "GRUCell",
    "Hypothesis",
    "LSTMCell",
    "ManyToMany",
    "ManyToOne",
    "OneToMany",
    "OneToOne",
    "Pooling",
    "RNNCell",
    "Recurrent",
    "Stepper",
    "Trace",
    "Writing",
    "beam_search",
    "change_cell",
    "check_drawing",
    "convert",
    "ctc_beam",
    "ctc_greedy",
    "draw",
    "explain",
    "length_penalty",
    "pack_padded_sequence",
    "pad_packed_sequence",
    "sample_sequences",
]

# tracebacks and reprs show the public path
for _name in __all__:
    globals()[_name].__module__ = __name__
