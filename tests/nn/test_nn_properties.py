"""What must hold for every layer: ragged rows, resets, carrying, steps, traces."""

import copy
from itertools import pairwise

import pytest
import torch
from cases import CASES, named, states
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import assert_close
from torch.nn.utils.rnn import pack_padded_sequence

import elman

I, H = 3, 5
BACKENDS = ["reference", "auto"]


def _layer(case, **more):
    return case.make(I, H, dtype=torch.float64, **more)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", **named(CASES))
@given(
    lengths=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    layers=st.integers(1, 2),
    both=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, deadline=None)
def test_a_ragged_batch_is_its_rows_alone(case, backend, lengths, layers, both, seed):
    torch.manual_seed(seed)
    layer = _layer(case, num_layers=layers, bidirectional=both, backend=backend)
    x = torch.randn(7, len(lengths), I, dtype=torch.float64)
    for row, length in enumerate(lengths):
        x[length:, row] = torch.nan
    x.requires_grad_()
    output, after = layer(x, lengths=torch.tensor(lengths))
    gradient = torch.autograd.grad(output.sum() + sum(s.sum() for s in states(after)), x)[0]
    for row, length in enumerate(lengths):
        alone, final = layer(x[:length, row])
        assert_close(output[:length, row], alone)
        assert not output[length:, row].any()
        assert not gradient[length:, row].any()
        for s, f in zip(states(after), states(final), strict=True):
            assert_close(s[:, row], f)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", **named(CASES))
@given(
    marks=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=3),
    both=st.booleans(),
    learned=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_resets_cut_the_sequence(case, backend, marks, both, learned):
    layer = _layer(
        case, bidirectional=both, backend=backend, initial_state="learned" if learned else "zeros"
    )
    if learned:
        for name, parameter in layer.named_parameters():
            if name.startswith("initial_"):
                torch.nn.init.normal_(parameter)
    resets = torch.tensor(marks).T
    x = torch.randn(6, len(marks), I, dtype=torch.float64)
    output, _ = layer(x, resets=resets)
    for row, one in enumerate(marks):
        cuts = sorted({0, 6, *[t for t, mark in enumerate(one) if mark]})
        for start, stop in pairwise(cuts):
            assert_close(output[start:stop, row], layer(x[start:stop, row])[0])


@pytest.mark.parametrize("case", **named(CASES))
def test_a_reset_forgets_the_given_state(case):
    layer = _layer(case)
    x = torch.randn(4, 2, I, dtype=torch.float64)
    hx = tuple(torch.randn(1, 2, H, dtype=torch.float64) for _ in case.cell.states)
    resets = torch.zeros(4, 2, dtype=torch.bool)
    resets[0, 1] = True
    output, _ = layer(x, hx if len(hx) > 1 else hx[0], resets=resets)
    assert_close(output[:, 1], layer(x[:, 1])[0])
    assert (output[:, 0] - layer(x[:, 0])[0]).abs().max() > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", **named(CASES))
@given(cut=st.integers(0, 6), layers=st.integers(1, 2))
@settings(max_examples=8, deadline=None)
def test_the_whole_is_its_parts_carried(case, backend, cut, layers):
    layer = _layer(case, num_layers=layers, backend=backend)
    x = torch.randn(6, 3, I, dtype=torch.float64)
    whole, final = layer(x)
    first, carry = layer(x[:cut])
    second, carried = layer(x[cut:], carry)
    assert_close(torch.cat([first, second]), whole)
    for s, f in zip(states(carried), states(final), strict=True):
        assert_close(s, f)


@pytest.mark.parametrize("case", **named(CASES))
def test_permuting_the_batch_permutes_the_result(case):
    layer = _layer(case, bidirectional=True)
    x, lengths = torch.randn(7, 4, I, dtype=torch.float64), torch.tensor([7, 0, 3, 5])
    order = torch.tensor([2, 0, 3, 1])
    output, _ = layer(x, lengths=lengths)
    assert_close(layer(x[:, order], lengths=lengths[order])[0], output[:, order])


@pytest.mark.parametrize("first", [False, True], ids=["time-first", "batch-first"])
@pytest.mark.parametrize("case", **named(CASES))
def test_steps_and_the_stepper_equal_the_sequence(case, first):
    layer = _layer(case, num_layers=2, batch_first=first)
    x = torch.randn(5, 3, I, dtype=torch.float64)
    expected, final = layer(x.transpose(0, 1) if first else x)
    expected = expected.transpose(0, 1) if first else expected
    hx, stepper = None, layer.stepper(batch=3)
    for t in range(5):
        y, hx = layer.step(x[t], hx)
        assert_close(y, expected[t])
        assert_close(stepper(x[t]), expected[t].detach())
    for s, f in zip(states(hx), states(final), strict=True):
        assert_close(s, f)
    kept = stepper.state
    stepper.reset()
    assert_close(stepper(x[0]), expected[0].detach())
    stepper.state = kept
    for mine, other in zip(states(stepper.state), states(kept), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("case", **named(CASES))
def test_trace_shows_what_happened(case):
    layer = _layer(case, bidirectional=True)
    x, lengths = torch.randn(6, 3, I, dtype=torch.float64), torch.tensor([6, 2, 4])
    output, after = layer(x, lengths=lengths)
    forward, reverse = layer.trace(x, lengths=lengths)
    assert_close(torch.cat([forward.output, reverse.output], -1), output)
    last = forward.states[case.cell.states[-1]]
    assert_close(last[lengths - 1, torch.arange(3)], states(after)[-1][0])
    assert_close(forward.states["h"], forward.output)
    (gradient,) = torch.autograd.grad(forward.states["h"].sum(), [layer.weight_hh_l0])
    assert gradient.abs().sum() > 0
    if case.name == "lstm":
        g = forward.gates
        c = torch.cat([torch.zeros_like(last[:1]), last[:-1]])
        real = (torch.arange(6)[:, None] < lengths)[..., None]
        assert_close((g["f"] * c + g["i"] * g["g"]) * real, last)


def test_trace_lays_batches_out_as_the_layer_does():
    layer, x = elman.nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    packed = pack_padded_sequence(x, torch.tensor([3, 5]), True, enforce_sorted=False)
    (trace,) = layer.trace(packed)
    expected = layer(x, lengths=torch.tensor([3, 5]))[0]
    assert_close(trace.output, expected)
    assert_close(trace.states["h"], expected)
    assert_close(layer.trace(x[0])[0].output, layer(x[0])[0][None])


def test_trace_where_the_native_kernels_are_forced():
    layer, x = elman.nn.GRU(3, 4, backend="cpu"), torch.randn(5, 2, 3)
    (trace,) = layer.trace(x)
    assert_close(trace.output, layer(x)[0])
    layer.backend = "auto"
    with elman.ops.only("cpu"):
        assert_close(layer.trace(x)[0].output, trace.output)


def test_explain_runs_nothing_and_takes_what_the_layer_takes():
    layer = elman.nn.LSTM(3, 4, num_layers=2, dropout=0.5, recurrent_dropout=0.5)
    x, lengths = torch.randn(5, 2, 3), torch.tensor([5, 2])
    before = torch.get_rng_state()
    found = elman.explain(layer, x, lengths=lengths)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(found.choices) == 2
    assert all(torch.equal(call.lengths, lengths) for call in layer.calls(x, lengths=lengths))


def test_jordan_feeds_the_output_back():
    layer = elman.nn.RNN(I, H, feedback="output", output_size=2, dtype=torch.float64,
                         output_nonlinearity="sigmoid")  # fmt: skip
    x = torch.randn(4, I, dtype=torch.float64)
    output, last = layer(x)
    o = torch.zeros(2, dtype=torch.float64)
    for t in range(4):
        a = layer.weight_ih_l0 @ x[t] + layer.bias_ih_l0 + layer.weight_hh_l0 @ o + layer.bias_hh_l0
        o = torch.sigmoid(layer.weight_ho_l0 @ torch.tanh(a) + layer.bias_ho_l0)
        assert_close(output[t], o)
    assert_close(last[0], o)
    assert layer.weight_hh_l0.shape == (H, 2)


def test_any_function_is_a_nonlinearity():
    layer = elman.nn.RNN(I, H, nonlinearity=lambda a: a / (1 + abs(a)), dtype=torch.float64)
    named_layer = elman.nn.RNN(I, H, nonlinearity="softsign", dtype=torch.float64)
    named_layer.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2, I, dtype=torch.float64)
    assert_close(layer(x)[0], named_layer(x)[0])


def test_recurrent_dropout_drops_weights_only_in_training():
    layer = elman.nn.LSTM(I, H, recurrent_dropout=0.5, dtype=torch.float64)
    plain = elman.nn.LSTM(I, H, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2, I, dtype=torch.float64)
    torch.manual_seed(1)
    trained, _ = layer(x)
    torch.manual_seed(1)
    plain.weight_hh_l0.data = torch.nn.functional.dropout(layer.weight_hh_l0.data, 0.5)
    assert_close(trained, plain(x)[0])
    plain.load_state_dict(layer.state_dict())
    assert_close(layer.eval()(x)[0], plain(x)[0])


@pytest.mark.parametrize("case", **named(CASES))
def test_recurrent_initialisation(case):
    layer = _layer(case, init="recurrent")
    eye = torch.eye(H, dtype=torch.float64)
    for block in layer.weight_hh_l0.detach().chunk(len(case.cell.gates)):
        if case.name == "rnn-relu":
            assert torch.equal(block, eye)
        else:
            assert_close(block @ block.T, eye)
    bias = layer.bias_ih_l0.detach().chunk(len(case.cell.gates))
    for letter, block in zip(case.cell.gates, bias, strict=True):
        assert bool((block == float(case.name == "lstm" and letter == "f")).all())
    assert not layer.bias_hh_l0.any()


@pytest.mark.parametrize("case", **named(CASES))
def test_copies_meta_zero_steps_and_zero_rows(case, tmp_path):
    layer = _layer(case, num_layers=2)
    x = torch.randn(4, 2, I, dtype=torch.float64)
    assert_close(copy.deepcopy(layer)(x)[0], layer(x)[0])
    torch.save(layer, tmp_path / "layer.pt")
    loaded = torch.load(tmp_path / "layer.pt", weights_only=False)
    assert_close(loaded(x)[0], layer(x)[0])
    assert str(elman.explain(loaded, x)) == str(elman.explain(layer, x))
    output, after = layer(x[:0])
    assert output.shape == (0, 2, H)
    assert not any(s.any() for s in states(after))
    assert layer(x[:, :0])[0].shape == (4, 0, H)
    meta = case.make(I, H, device="meta")
    assert meta(torch.empty(4, 2, I, device="meta"))[0].shape == (4, 2, H)


@pytest.mark.parametrize("how", ["last", "mean", "max", "attention"])
def test_pooling_sees_no_padding(how):
    layer = elman.nn.GRU(I, H, bidirectional=True, dtype=torch.float64)
    pool = elman.nn.Pooling(how, 2 * H, directions=2).double()
    x, lengths = torch.randn(6, 3, I, dtype=torch.float64), torch.tensor([6, 2, 4])
    output, h_n = layer(x, lengths=lengths)
    pooled = pool(output, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = pool(layer(x[:length, row : row + 1])[0], torch.tensor([length]))
        assert_close(pooled[row], alone[0])
    if how == "last":
        assert_close(pooled, torch.cat([h_n[0], h_n[1]], -1))
