"""The flow penalty of every form in which sequences come."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman.diagnostics import remedies, watch

LENGTHS = torch.tensor([3, 7, 5])


def made(cell, **more):
    torch.manual_seed(3)
    layer = cell(2, 4, num_layers=2, dtype=torch.float64, **more)
    x = torch.randn(7, 3, 2, dtype=torch.float64)
    return layer, x


def laid(layer, x):
    return x.transpose(0, 1) if layer.batch_first else x


def penalty(layer, given, ends, hx=None, **call):
    """The penalty for a loss at the sequences' ends, and its gradient."""
    with watch(layer, vectors=True) as flow:
        _, state = layer(given, hx, **call)
        (state[0] if isinstance(state, tuple) else state)[-1].pow(2).sum().backward()
    call.pop("lengths", None)
    found = remedies.flow_penalty(layer, given, flow, hx=hx, **call)
    return [found, *torch.autograd.grad(found, list(layer.parameters()), allow_unused=True)]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


CELLS = [elman.nn.RNN, elman.nn.GRU, elman.nn.LSTM]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("given_hx", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_of_a_packed_batch_it_is_that_of_its_rows(cell, given_hx, sort, batch_first):
    layer, x = made(cell, batch_first=batch_first)
    lengths = LENGTHS.sort(descending=True).values if sort else LENGTHS
    hx = None
    if given_hx:
        states = tuple(torch.randn(2, 3, 4, dtype=torch.float64) for _ in layer.cell.states)
        hx = states if len(states) > 1 else states[0]
    expected = penalty(layer, laid(layer, x), lengths, hx, lengths=lengths)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=sort)
    assert_same(penalty(layer, packed, lengths, hx), expected)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_of_one_sequence_it_is_that_of_a_batch_of_one(cell, reset, batch_first):
    layer, x = made(cell, batch_first=batch_first)
    resets = torch.arange(7)[:, None] == 3
    batch, alone = (
        ({"resets": laid(layer, resets)}, {"resets": resets[:, 0]}) if reset else ({}, {})
    )
    expected = penalty(layer, laid(layer, x[:, :1]), 7, **batch)
    assert_same(penalty(layer, x[:, 0], 7, **alone), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_behind_a_rows_end_reaches_no_gradient(cell):
    layer, x = made(cell)
    expected = penalty(layer, x, LENGTHS, lengths=LENGTHS)
    x[torch.arange(7)[:, None] >= LENGTHS] = float("nan")
    assert_same(penalty(layer, x, LENGTHS, lengths=LENGTHS), expected)


def test_resets_may_be_numpys():
    layer, x = made(elman.nn.RNN)
    resets = torch.rand(7, 3) > 0.7
    assert_same(penalty(layer, x, 7, resets=resets.numpy()), penalty(layer, x, 7, resets=resets))


def test_its_gradient_is_that_of_differences():
    _, x = made(elman.nn.GRU)
    packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    single = elman.nn.GRU(2, 4, dtype=torch.float64)
    with watch(single, vectors=True) as flow:
        single(packed)[1].sum().backward()
    # the states and their gradients count as constants
    trace = single.trace(packed)
    single.trace = lambda *_, **__: trace
    (found,) = torch.autograd.grad(
        remedies.flow_penalty(single, packed, flow), [single.weight_hh_l0]
    )
    eps = 1e-6
    for row, column in [(0, 1), (5, 2), (9, 3)]:
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                single.weight_hh_l0[row, column] += sign * eps
            values.append(float(remedies.flow_penalty(single, packed, flow).detach()))
            with torch.no_grad():
                single.weight_hh_l0[row, column] -= sign * eps
        assert float(found[row, column]) == pytest.approx(
            (values[0] - values[1]) / (2 * eps), rel=1e-5, abs=1e-9
        )


def test_nothing_that_flows_has_no_penalty_and_no_gradient():
    layer, x = made(elman.nn.LSTM)
    found, *gradients = penalty(layer, x[:1], 1)
    assert float(found.detach()) == 0
    assert all(g is None or not bool(g.any()) for g in gradients)


def test_another_input_than_the_one_that_was_watched_is_refused():
    layer, x = made(elman.nn.RNN)
    with watch(layer, vectors=True) as flow:
        layer(x)[1].sum().backward()
    with pytest.raises(ValueError, match="^flow_penalty: ") as caught:
        remedies.flow_penalty(layer, x[:5, :2], flow)
    assert str(caught.value) == (
        "flow_penalty: the input has 5 steps of 2 rows, and the backward pass that was watched last"
        " had 7 steps of 3 rows; give the input that the layer was called with then."
    )
