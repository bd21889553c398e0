import re
from functools import partial

import numpy as np
import pytest
import torch

import elman
from elman.kernels import cpu
from elman.nn import (
    GRU,
    LSTM,
    RNN,
    EncoderDecoder,
    ManyToMany,
    ManyToOne,
    OneToMany,
    OneToOne,
    draw,
)

X = torch.zeros(10, 8, 64)
SHAPES = {
    "ManyToOne": lambda layers: ManyToOne(layers, 2),
    "OneToOne": lambda layers: OneToOne(layers, 2),
    "OneToMany": lambda layers: OneToMany(layers, 2, 3),
    "EncoderDecoder": lambda layers: EncoderDecoder(layers, layers, sources=9, targets=9),
}
PACKED = torch.nn.utils.rnn.pack_sequence([X[:, 0], X[:5, 1]])
LENGTHS = torch.tensor([10] * 8)
SEQ2SEQ = partial(EncoderDecoder, GRU(64, 4), GRU(4, 4), sources=None, targets=9)
# what runs a call that torch has no kernel for
ABLE = "cpu" if cpu.is_built() else "reference"


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: GRU(64, 4)(torch.zeros(100, 8, 40)), ValueError,
         "GRU.forward: input has 40 features, but input_size is 64"
         " (input shape (100, 8, 40), expected (T, B, 64))."),
        (lambda: GRU(64, 4)(torch.zeros(64)), ValueError,
         "GRU.forward: input has 1 dimensions (shape (64,)), expected (T, B, 64),"
         " or (T, 64) for one sequence."),
        (lambda: GRU(64, 4)(X.double()), ValueError,
         "GRU.forward: input is torch.float64, but the weights are torch.float32; convert one:"
         " input.to(torch.float32) or layer.to(torch.float64)."),
        (lambda: GRU(64, 4)(X, torch.zeros(1, 8, 5)), ValueError,
         "GRU.forward: hx: h has shape (1, 8, 5), expected (1, 8, 4), (L * D, B, size)."),
        (lambda: GRU(64, 4)(X, (torch.zeros(1, 8, 4),)), TypeError,
         "GRU.forward: hx is a tuple; give one tensor, h_0."),
        (lambda: LSTM(64, 4)(X, torch.zeros(1, 8, 4)), TypeError,
         "LSTM.forward: hx is not a tuple of 2 tensors; give (h, c)."),
        (lambda: LSTM(64, 4)(X, lengths=torch.tensor([1, 2])), ValueError,
         "LSTM.forward: lengths has shape (2,), expected (8,), one for each row."),
        (lambda: LSTM(64, 4)(X, lengths=torch.tensor([1] * 7 + [11])), ValueError,
         "LSTM.forward: lengths[7] is 11, expected 0 to 10, the steps of the input."),
        (lambda: LSTM(64, 4)(X, lengths=torch.ones(8)), TypeError,
         "LSTM.forward: lengths is torch.float32; give whole numbers."),
        (lambda: LSTM(64, 4)(X, resets=torch.zeros(10, 8)), TypeError,
         "LSTM.forward: resets is torch.float32; give a boolean tensor (10, 8), (T, B)."),
        (lambda: LSTM(64, 4)(X, resets=torch.zeros(8, 10, dtype=torch.bool)), ValueError,
         "LSTM.forward: resets has shape (8, 10), expected (10, 8), (T, B)."),
        (lambda: LSTM(64, 4)(torch.nn.utils.rnn.pack_sequence([X[:, 0]]), lengths=torch.ones(1)),
         ValueError, "LSTM.forward: lengths was given with a PackedSequence, which has its own rows;"
         " give a padded tensor."),
        (lambda: LSTM(64, 4, bidirectional=True).step(X[0]), ValueError,
         "LSTM.step: the layer is bidirectional, so a step needs steps that have not come yet;"
         " call the layer on the whole sequence."),
        (lambda: LSTM(64, 4).step(X), ValueError,
         "LSTM.step: x_t has shape (10, 8, 64); give (B, I) or (I,) with I = 64."),
        (lambda: LSTM(64, 4).stepper()(X[0]), ValueError,
         "Stepper: x_t has shape (8, 64), expected (1, 64), (B, I)."),
        (lambda: LSTM(64, 4, proj_size=4), ValueError,
         "LSTM: proj_size=4; give a whole number below hidden_size=4, or 0 for none."),
        (lambda: RNN(64, 4, output_size=3), ValueError,
         'RNN: output_size=3 needs an output layer; give feedback="output" with it.'),
        (lambda: RNN(64, 4, feedback="both"), ValueError,
         "RNN: feedback='both' is not known; give one of hidden, output."),
        (lambda: GRU(64, 4, reset_gate="no"), ValueError,
         "GRU: reset_gate='no' is not known; give one of after, before."),
        (lambda: GRU(64, -4), ValueError,
         "GRU: hidden_size=-4; give a whole number above zero."),
        (lambda: GRU(64.0, 4), TypeError,
         "GRU: input_size=64.0 is no int; give a whole number above zero."),
        (lambda: GRU(64, 4, bias=1), TypeError, "GRU: bias=1 is no bool; give True or False."),
        (lambda: GRU(64, 4, 2, dropout=2), ValueError, "GRU: dropout=2.0 lies outside [0, 1]."),
        (lambda: GRU(64, 4, 2, dropout="x"), ValueError, "GRU: dropout='x' is no number; give one in [0, 1]."),
        (lambda: GRU(64, 4, 2, dropout=True), ValueError, "GRU: dropout=True is no number; give one in [0, 1]."),
        (lambda: GRU(64, 4, gradient_clip="x"), ValueError, "GRU: gradient_clip='x'; give a number above zero, or None."),
        (lambda: GRU(64, 4, init="best"), ValueError,
         "GRU: init='best' is not known; give one of torch, recurrent."),
        (lambda: GRU(64, 4, backend="cuda"), ValueError,
         "GRU: backend='cuda' is not known; give one of auto, cpu, torch, reference."),
        (lambda: GRU(64, 4, backend="torch", reset_gate="before")(X), elman.ops.BackendError,
         'GRU: backend="torch" cannot run this call: torch\'s GRU has its reset gate after the'
         f' product. Use backend="{ABLE}", or "auto".'),
        (lambda: RNN(64, 4, "sin", backend="torch")(X), TypeError, "RNN: num_layers='sin' is no int;"
         " give a whole number above zero."),
        (lambda: elman.nn.GRUCell(64, 4)(X), ValueError,
         "GRUCell.forward: input has shape (10, 8, 64), expected (B, 64) or (64,)."),
        (lambda: elman.nn.RNNCell(64, 4)(X[0].double()), ValueError,
         "RNNCell.forward: input is torch.float64, but the weights are torch.float32; convert one:"
         " input.to(torch.float32) or layer.to(torch.float64)."),
        (lambda: elman.nn.LSTMCell(64, 4)(X[0], (torch.zeros(8, 5), torch.zeros(8, 4))), ValueError,
         "LSTMCell.forward: hx: h has shape (8, 5), expected (8, 4), (B, size)."),
        (lambda: elman.nn.GRUCell(64, 4)(X[0, 0], torch.zeros(1, 4)), ValueError,
         "GRUCell.forward: hx: h has shape (1, 4), expected (4,), (size,)."),
        (lambda: GRU(64, 4)(X, torch.zeros(1, 8, 4).double()), ValueError,
         "GRU.forward: hx: h is torch.float64, but the input is torch.float32; convert one:"
         " h.to(torch.float32)."),
        (lambda: LSTM(64, 4)(X, (None, None)), TypeError,
         "LSTM.forward: hx: h is a NoneType; give a tensor, or None in place of the whole hx for"
         " zeros."),
        (lambda: GRU(64, 4)(X.numpy()), TypeError, "GRU.forward: input is a ndarray; give a tensor."),
        (lambda: GRU(64, 4)(None), TypeError, "GRU.forward: input is a NoneType; give a tensor."),
        (lambda: GRU(64, 4).step(X[0].numpy()), TypeError, "GRU.step: x_t is a ndarray; give a tensor."),
        (lambda: GRU(64, 4)(X, resets=[True]), TypeError, "GRU.forward: resets is a list; give a tensor."),
        (lambda: GRU(64, 4)(X[:, :2], lengths=[3, None]), TypeError,
         "GRU.forward: lengths are [3, None]; give whole numbers, one for each row."),
        (lambda: LSTM(64, 4, proj_size=True), ValueError,
         "LSTM: proj_size=True; give a whole number below hidden_size=4, or 0 for none."),
        (lambda: RNN(64, 4, output_nonlinearity="tanh"), ValueError,
         "RNN: output_nonlinearity='tanh' needs an output layer; give feedback=\"output\" with it."),
        (lambda: RNN(64, 4, 1, True), TypeError,
         "nonlinearity: True is neither a name nor a function; give one of elu, hard_sigmoid,"
         " hardtanh, identity, leaky_relu, relu, sigmoid, silu, sin, softplus, softsign, tanh, or a"
         " function of one array."),
        (lambda: elman.nn.LSTMCell(3, 4, bias="no"), TypeError,
         "LSTMCell: bias='no' is no bool; give True or False."),
        *((lambda shape=shape: shape(GRU(64, 4, batch_first=True)), ValueError,
           f"{name}: the layers are batch_first; give such as take (T, B, I).")
          for name, shape in SHAPES.items()),
        *((lambda shape=shape: shape(torch.nn.GRU(64, 4)), TypeError,
           f"{name}: the layers are a torch.nn.modules.rnn.GRU; give an RNN, GRU or LSTM of"
           " elman.nn. elman.nn.convert makes one of torch's.")
          for name, shape in SHAPES.items()),
        *((call, TypeError, f"{name}: the layers are a torch.nn.modules.{kind}; give an RNN, GRU or"
           " LSTM of elman.nn. elman.nn.convert makes one of torch's.")
          for name, kind, call in (
              ("ManyToMany", "rnn.GRU", lambda: ManyToMany(torch.nn.GRU(64, 4), 2)),
              ("ManyToMany", "linear.Linear", lambda: ManyToMany(torch.nn.Linear(64, 4), 2)),
              ("Bridge", "rnn.LSTM", lambda: elman.nn.Bridge(3, torch.nn.LSTM(64, 4))),
              ("change_cell", "rnn.GRU", lambda: elman.nn.change_cell(torch.nn.GRU(64, 4), cell="rnn")),
              ("Stepper", "rnn.GRU", lambda: elman.nn.Stepper(torch.nn.GRU(64, 4))),
              ("EncoderDecoder", "linear.Linear",
               lambda: EncoderDecoder(torch.nn.Linear(64, 4), GRU(4, 4), sources=9, targets=9)),
          )),
        (lambda: ManyToOne(GRU, 2), TypeError,
         "ManyToOne: the layers are the class GRU; give a layer that was made of it, with its sizes."),
        *((call, TypeError, f"{name} is a PackedSequence; give a tensor, which"
           " elman.nn.pad_packed_sequence makes of it.")
          for name, call in (
              ("OneToOne.forward: x", lambda: OneToOne(GRU(64, 4), 2)(PACKED)),
              ("Pooling.forward: output", lambda: elman.nn.Pooling("mean", 64)(PACKED, LENGTHS)),
              ("Attention.forward: memory",
               lambda: elman.nn.Attention("additive", 64, 64)(X, PACKED, LENGTHS)),
              ("Attention.forward: query",
               lambda: elman.nn.Attention("additive", 64, 64)(PACKED, X, LENGTHS)),
              ("CRF.log_partition: emissions", lambda: elman.nn.CRF(64)(PACKED, X[:, :, 0], LENGTHS)),
              ("CRF.score: tags", lambda: elman.nn.CRF(64).score(X, PACKED, LENGTHS)),
              ("EncoderDecoder.read: source", lambda: SEQ2SEQ()(PACKED, LENGTHS, X[:, :, 0])),
              ("EncoderDecoder.write: target", lambda: SEQ2SEQ()(X, LENGTHS, PACKED)),
              ("ctc_greedy: log_p", lambda: elman.nn.ctc_greedy(PACKED, LENGTHS)),
          )),
        *((lambda call=call, blank=blank: call(X, LENGTHS, blank=blank), ValueError,
           f"{call.__name__}: blank={blank} is none of the 64 symbols of log_p; give 0 to 63.")
          for call in (elman.nn.ctc_greedy, elman.nn.ctc_beam) for blank in (64, -1, -65)),
        (lambda: elman.nn.ctc_greedy(X, LENGTHS, blank="_"), TypeError,
         "ctc_greedy: blank='_' is no int; give 0 to 63."),
        (lambda: elman.nn.ctc_greedy(X, LENGTHS, blank=True), TypeError,
         "ctc_greedy: blank=True is no int; give 0 to 63."),
        (lambda: elman.nn.ctc_beam(X[:, 0], LENGTHS), ValueError,
         "ctc_beam: log_p has shape (10, 64), expected (T, B, V)."),
        *((call, TypeError, "nonlinearity: Tanh is a class; give an instance of it, Tanh(), a function"
           " of one array, or one of elu, hard_sigmoid, hardtanh, identity, leaky_relu, relu, sigmoid,"
           " silu, sin, softplus, softsign, tanh.")
          for call in (
              lambda: RNN(64, 4, nonlinearity=torch.nn.Tanh),
              lambda: RNN(64, 4, feedback="output", output_nonlinearity=torch.nn.Tanh),
              lambda: elman.nn.RNNCell(64, 4, nonlinearity=torch.nn.Tanh),
              lambda: elman.nn.change_cell(RNN(64, 4), nonlinearity=torch.nn.Tanh),
          )),
        (lambda: draw(X[0], temperature=-0.01), ValueError,
         "draw: temperature=-0.01; give a number from 0 on."),
        (lambda: draw(X[0], temperature=1, top_k=0), ValueError,
         "draw: top_k=0; give a whole number above zero, or None."),
        (lambda: draw(X[0], temperature=0, top_k=-1), ValueError,
         "draw: top_k=-1; give a whole number above zero, or None."),
        (lambda: draw(X[0], temperature=1, top_p=0.0), ValueError,
         "draw: top_p=0.0; give a number above 0 and up to 1, or None."),
        (lambda: elman.explain(torch.nn.GRU(64, 4), X), TypeError,
         "explain: GRU is no layer of elman.nn; give an RNN, GRU or LSTM."
         " elman.nn.convert makes one of torch's."),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_one_line(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


@pytest.mark.parametrize("with_gradient", [True, False])
@pytest.mark.parametrize("kind", [GRU, elman.nn.GRUCell])
def test_tensors_on_two_devices_are_refused(kind, with_gradient):
    x, h = (X, torch.zeros(1, 8, 4)) if kind is GRU else (X[0], torch.zeros(8, 4))
    with torch.set_grad_enabled(with_gradient):
        with pytest.raises(RuntimeError, match="device"):
            kind(64, 4, device="meta")(x)
        with pytest.raises(RuntimeError, match="device"):
            kind(64, 4)(x, h.to("meta"))


@pytest.mark.parametrize("with_gradient", [True, False])
@pytest.mark.parametrize("hidden_size", [4, 512])
@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells_name_what_does_not_fit(kind, hidden_size, with_gradient):
    cell, where = getattr(elman.nn, kind)(3, hidden_size), f"{kind}.forward"
    x, h, is_lstm = torch.zeros(9, 3), torch.zeros(9, hidden_size), kind == "LSTMCell"
    one = "hx: h" if is_lstm else "hx"
    end = "a tensor, or None in place of the whole hx for zeros." if is_lstm else "one tensor, h_0."
    for input, state, text in (
        (x.numpy(), None, "input is a ndarray; give a tensor."),
        (None, None, "input is a NoneType; give a tensor."),
        (x.long(), None, "input is torch.int64, but the weights are torch.float32; convert one:"
         " input.to(torch.float32) or layer.to(torch.int64)."),
        (x, h.double(), "hx: h is torch.float64, but the input is torch.float32; convert one:"
         " h.to(torch.float32)."),
        (x, h.long(), "hx: h is torch.int64, but the input is torch.float32; convert one:"
         " h.to(torch.float32)."),
        (x, h.numpy(), f"{one} is a ndarray; give {end}"),
        (x[0], h[0].half(), "hx: h is torch.float16, but the input is torch.float32; convert one:"
         " h.to(torch.float32)."),
    ):  # fmt: skip
        hx = (state, state) if is_lstm and state is not None else state
        mode = torch.set_grad_enabled(with_gradient)
        with mode, pytest.raises((TypeError, ValueError)) as caught:
            cell(input, hx)
        assert str(caught.value) == f"{where}: {text}"
    if is_lstm:
        with pytest.raises(ValueError, match=r"hx: c is torch.float64, but the input is"):
            cell(x, (h, h.double()))


def test_resets_and_lengths_of_numpy_are_taken():
    layer, x = GRU(3, 4), torch.randn(5, 2, 3)
    resets, lengths = np.random.default_rng(0).random((5, 2)) < 0.5, np.array([5, 2])
    found = layer(x, resets=resets, lengths=lengths)[0]
    expected = layer(x, resets=torch.from_numpy(resets), lengths=torch.from_numpy(lengths))[0]
    assert torch.equal(found, expected)


def test_dropout_without_a_second_layer_warns():
    with pytest.warns(UserWarning, match="dropout=0.5 acts between layers, and num_layers is 1"):
        GRU(3, 4, dropout=0.5)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (RNN(64, 4, nonlinearity="sin"), "torch's RNN knows tanh and relu, not sin"),
        (RNN(64, 4, feedback="output"), "torch's kernels do not feed an output layer back"),
        (GRU(64, 4, backend="reference"), "reference is forced"),
    ],
)
def test_explain_says_why_not(layer, reason):
    text = str(elman.explain(layer, X))
    assert text.startswith(f"layer 0: {'reference' if 'forced' in reason else ABLE} (not ")
    assert f"not torch: {reason}" in text


def test_explain_names_each_layer_and_direction():
    layer = LSTM(64, 4, num_layers=2, bidirectional=True, batch_first=True)
    lines = str(elman.explain(layer, X)).splitlines()
    assert re.fullmatch(
        r"layer 1 reverse: (cpu|torch) \(.*not reference: slower than (cpu|torch)\)", lines[3]
    )


def test_repr_shows_what_differs():
    assert repr(GRU(3, 4, batch_first=True)) == "GRU(3, 4, batch_first=True)"
    assert repr(elman.nn.LSTMCell(3, 4, bias=False)) == "LSTMCell(3, 4, bias=False)"
    assert repr(GRU(3, 4, reset_gate="before")) == "GRU(3, 4, reset_gate='before')"
    assert repr(LSTM(3, 4, proj_size=2)) == "LSTM(3, 4, proj_size=2)"
    assert repr(elman.nn.RNN(3, 4, nonlinearity="relu")) == "RNN(3, 4, nonlinearity='relu')"
