"""Truncated backpropagation through time against autograd over the whole sequence."""

import pytest
import torch
from torch import nn

import elman
from elman.train import scan_tail, scan_window

T, B, I, H = 12, 3, 2, 4


@pytest.fixture
def lstm():
    return nn.LSTM(I, H, dtype=torch.float64)


def _scan(lstm):
    return lambda x, hx, resets: lstm(x, hx)


def _gradient(lstm, loss):
    return torch.autograd.grad(loss, lstm.weight_hh_l0)[0]


def _windows(lstm, x, k1, k2):
    """The summed gradient of all windows, and all outputs."""
    context, carry, outputs, total = 0, None, [], 0
    wanted = max(k2 - k1, 0)
    for start in range(0, len(x), k1):
        stop = min(start + k1, len(x))
        ahead = min(wanted, stop)
        output, carry = scan_window(
            _scan(lstm), x[start - context : stop], carry,
            context=context, next_context=ahead, detach_every=k2 if k2 < k1 else None,
        )  # fmt: skip
        outputs.append(output)
        total = total + _gradient(lstm, (output**2).sum())
        context = ahead
    return total, torch.cat(outputs)


def _brute(lstm, x, reach):
    """The gradient of every step's loss through the `reach` steps before it, the window's start given by `reach(t)`."""
    total = 0
    for t in range(len(x)):
        start = reach(t)
        with torch.no_grad():
            state = lstm(x[:start])[1] if start else None
        output, _ = lstm(x[start : t + 1], state)
        total = total + _gradient(lstm, (output[-1] ** 2).sum())
    return total


@pytest.mark.parametrize(
    ("k1", "k2", "reach"),
    [
        (12, 12, lambda t: 0),
        (50, 50, lambda t: 0),
        (4, 4, lambda t: t // 4 * 4),
        (6, 3, lambda t: t // 3 * 3),
        (5, 2, lambda t: t // 5 * 5 + t % 5 // 2 * 2),
        (3, 7, lambda t: max(t // 3 * 3 - 4, 0)),
        (2, 12, lambda t: max(t // 2 * 2 - 10, 0)),
    ],
)
def test_windows_are_truncated_bptt(lstm, k1, k2, reach):
    x = torch.randn(T, B, I, dtype=torch.float64)
    found, outputs = _windows(lstm, x, k1, k2)
    torch.testing.assert_close(outputs, lstm(x)[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, _brute(lstm, x, reach), rtol=1e-10, atol=1e-12)


def test_a_window_as_long_as_the_sequence_is_full_bptt(lstm):
    x = torch.randn(T, B, I, dtype=torch.float64)
    found, _ = _windows(lstm, x, T, T)
    assert torch.equal(found, _gradient(lstm, (lstm(x)[0] ** 2).sum()))


def test_resets_are_cut_with_the_window():
    seen = []

    def scan(x, hx, resets):
        seen.append(resets)
        return x, x[-1]

    resets = torch.arange(7)[:, None] == torch.tensor([2, 5])
    scan_window(scan, torch.zeros(7, 2, 1), resets=resets, context=2, next_context=3)
    assert torch.equal(torch.cat(seen), resets)


@pytest.mark.parametrize(("steps", "context"), [(3, 3), (3, 7), (0, 0)])
def test_a_window_without_new_steps_is_refused(lstm, steps, context):
    x = torch.zeros(steps, B, I, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"^scan_window: ") as caught:
        scan_window(_scan(lstm), x, context=context)
    assert str(caught.value) == (
        f"scan_window: context={context} with an input of {steps} steps, none of them new; give"
        " more steps than the context has."
    )


def test_the_last_steps_of_both_ends_are_refused():
    layer, x = elman.nn.GRU(I, H, bidirectional=True), torch.randn(T, B, I)
    for steps in (4, T):
        with pytest.raises(ValueError, match=r"^scan_tail: the layer has bidirectional=True, .*"):
            scan_tail(layer, x, torch.tensor([T, 5, 7]), steps)


@pytest.mark.parametrize("steps", [4, 99])
def test_a_length_beyond_the_input_is_refused(steps):
    layer, x = elman.nn.GRU(I, H), torch.randn(T, B, I)
    with pytest.raises(ValueError, match=r"^scan_tail: ") as caught:
        scan_tail(layer, x, torch.tensor([T, 15, 7]), steps)
    assert str(caught.value) == (
        "scan_tail: lengths[1] is 15, expected 0 to 12, the steps of the input."
    )
