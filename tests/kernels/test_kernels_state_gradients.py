"""The gradient of every step's state: seen, bounded, and taken without keeping every step."""

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import pytest
import torch
from kernels.calls import (
    CELLS,
    KINDS,
    by_kernel,
    by_reference,
    check_first_states_unasked,
    gradients_like,
    make,
)
from tolerances import TOLERANCES, assert_close

import elman
from elman.cells import lstm, rnn
from elman.kernels import cpu, segment_size

native = pytest.mark.skipif(
    not cpu.is_built(), reason="the native module is not installed (ELMAN_NATIVE=0)"
)
DTYPES = [torch.float32, torch.float64]
FEW = ["rnn_tanh", "gru", "gru_reset_before", "lstm"]
# many segments: rows in a chunk of the backward pass are a few times fewer than all
LONG = [(70, 9, 3, 17), (410, 2, 2, 9), (23, 40, 5, 33)]


@dataclass
class Eye:
    vectors: bool = True
    seen_: list[Any] = field(default_factory=list)

    def seen(self, norms, vectors):
        self.seen_.append((norms.view(torch.float64), vectors))


def _watched(call, run, grads):
    eye = Eye()
    run(replace(call, watch=eye), grads)
    (found,) = eye.seen_
    return found


def _unrolled(call, grads):
    """Every state's gradient by autograd's hooks on a loop over time, written once more."""
    w, states, found = call.weights, call.state, []
    T, B = call.input.shape[:2]
    loss = 0
    seen = [torch.zeros(T, B, width, dtype=call.input.dtype) for width in call.widths]
    G = len(call.cell.gates)
    for t in range(T):
        wx = (call.input[t] @ w.ih.T + w.bias_ih).unflatten(-1, (G, -1)).unbind(-2)
        uh = (states[0] @ w.hh.T + w.bias_hh).unflatten(-1, (G, -1)).unbind(-2)
        after, _ = call.cell.step(wx, uh, states)
        lives = (t < call.lengths)[:, None]
        for k, one in enumerate(after):
            one.register_hook(lambda g, k=k, t=t: seen[k][t].copy_(g))
        loss = loss + (torch.where(lives, after[0], 0) * grads[0][t]).sum()
        states = tuple(torch.where(lives, a, s) for a, s in zip(after, states, strict=True))
        found.append(after)
    loss = loss + sum((s * g).sum() for s, g in zip(states, grads[1:], strict=True))
    loss.backward()
    return seen


@native
@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
def test_what_is_seen_is_what_hooks_on_an_unrolled_loop_see(cell, variant):
    call = make(CELLS[cell], (11, 5, 3, 9), KINDS["lengths"], torch.float64)
    grads = gradients_like(call)
    expected = _unrolled(call, grads)
    for run in (by_kernel, by_reference):
        norms, vectors = _watched(call, run, grads)
        for norm, vector, known in zip(norms, vectors, expected, strict=True):
            torch.testing.assert_close(vector, known, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(norm, known.norm(dim=-1), rtol=1e-6, atol=1e-12)


@native
@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("cell", FEW)
def test_threads_that_share_units_measure_before_others_go_on(cell, vectors, monkeypatch):
    call = make(CELLS[cell], (8, 17, 16, 100), KINDS["dense"], torch.float64)
    grads, seen = gradients_like(call), []
    for count in (1, *[3] * 40):
        monkeypatch.setattr(cpu, "threads", lambda count=count: count)
        eye = Eye(vectors)
        by_kernel(replace(call, watch=eye), grads)
        seen.append(eye.seen_[0][0])
    for norms in seen[1:]:
        assert torch.equal(norms, seen[0])


@native
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", FEW)
def test_a_kernel_sees_what_the_reference_sees(cell, kind, dtype, variant):
    bound = TOLERANCES[dtype, "backward"]
    for shape in ((5, 3, 7, 5), (9, 1, 64, 64), (7, 13, 33, 40), LONG[0]):
        call = make(CELLS[cell], shape, KINDS[kind], dtype)
        grads = gradients_like(call)
        found, expected = _watched(call, by_kernel, grads), _watched(call, by_reference, grads)
        for one, other in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
            torch.testing.assert_close(one, other, rtol=bound, atol=bound)


@native
@pytest.mark.parametrize("whole", [lstm.cell, rnn.cell("tanh", "sigmoid")], ids=["lstm", "rnn"])
def test_a_fed_back_output_is_seen_as_the_state_that_it_is(whole, variant):
    call = make(whole, (9, 4, 3, 17), replace(KINDS["all"], fed_back=6), torch.float64)
    grads = gradients_like(call)
    found, expected = _watched(call, by_kernel, grads), _watched(call, by_reference, grads)
    for one, other in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@native
def test_norms_alone_are_the_norms_of_the_vectors(variant):
    call = make(lstm.cell, (9, 4, 3, 17), KINDS["lengths"])
    grads = gradients_like(call)
    eye = Eye(vectors=False)
    by_kernel(replace(call, watch=eye), grads)
    ((norms, vectors),) = eye.seen_
    assert vectors is None
    for one, other in zip(norms, _watched(call, by_kernel, grads)[0], strict=True):
        assert torch.equal(one, other)


@native
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["dense", "lengths", "all-reverse"])
def test_norms_are_the_same_bits_whatever_rows_and_threads_share(kind, dtype, variant, monkeypatch):
    wholes = [CELLS["rnn_tanh"], CELLS["lstm"], rnn.cell("tanh", "sigmoid")]
    # rows in several blocks, in half a block, and columns that threads share
    for whole, shape in product(wholes, [(5, 37, 3, 21), (4, 9, 3, 17), (4, 1, 3, 200)]):
        fed_back = 6 if whole is wholes[-1] else 0
        call = make(whole, shape, replace(KINDS[kind], fed_back=fed_back), dtype)
        grads, found = gradients_like(call), []
        for threads in (1, 2, 3):
            monkeypatch.setattr(cpu, "threads", lambda n=threads: n)
            eye = Eye(vectors=False)
            by_kernel(replace(call, watch=eye), grads)
            (norms, _), (known, _) = eye.seen_[0], _watched(call, by_kernel, grads)
            assert torch.equal(norms, known)
            found.append(norms)
        assert torch.equal(found[0], found[1])
        assert torch.equal(found[0], found[2])


@native
@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_norms_of_what_a_square_would_lose(size, variant):
    call = make(CELLS["rnn_identity"], (2, 2, 3, 40))
    grads = [torch.zeros(2, 2, 40), torch.full((2, 40), size)]
    (norms,), (vectors,) = _watched(call, by_kernel, grads)
    torch.testing.assert_close(norms, vectors.double().norm(dim=-1), rtol=1e-6, atol=0)
    assert norms[-1].min() > 6 * size


@native
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_is_not_finite_is_seen(value, variant):
    call = make(CELLS["gru"], (4, 2, 3, 5))
    grads = gradients_like(call)
    grads[0][2, 1, 3] = value
    (norms,), _ = _watched(call, by_kernel, grads)
    assert norms[3].isfinite().all()
    assert norms[:, 0].isfinite().all()
    assert not norms[2, 1].isfinite()


@native
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["dense", "all", "all-reverse"])
@pytest.mark.parametrize("cell", FEW)
def test_a_bound_at_every_step(cell, kind, dtype, variant):
    for shape in ((5, 3, 7, 5), (9, 1, 64, 64), LONG[0]):
        free = make(CELLS[cell], shape, KINDS[kind], dtype)
        call = replace(free, gradient_clip=0.4)
        grads = gradients_like(call)
        found, expected = by_kernel(call, grads), by_reference(call, grads)
        for one, other in zip(found[1], expected[1], strict=True):
            assert_close(one, other, "backward")
        # a bound that nothing reaches changes nothing, bit for bit
        loose = by_kernel(replace(free, gradient_clip=1e9), grads)
        for one, other in zip(loose[1], by_kernel(free, grads)[1], strict=True):
            assert torch.equal(one, other)


@native
def test_a_bound_holds(variant):
    call = make(lstm.cell, (30, 4, 3, 17), KINDS["dense"])
    grads = [torch.zeros(30, 4, 17), torch.randn(4, 17) * 100, torch.randn(4, 17) * 100]
    norms, _ = _watched(replace(call, gradient_clip=0.5), by_kernel, grads)
    free, _ = _watched(call, by_kernel, grads)
    assert free[0][:-1].max() > 1
    assert norms[0][:-1].max() <= 0.5 * (1 + 1e-5)


@native
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", FEW)
def test_checkpoints_change_no_bit(cell, kind, dtype, threads, variant, monkeypatch):
    monkeypatch.setattr(cpu, "threads", lambda: threads)
    for shape in LONG:
        call = make(CELLS[cell], shape, KINDS[kind], dtype)
        grads = gradients_like(call)
        full = by_kernel(call, grads)
        kept = by_kernel(replace(call, checkpointed=True), grads)
        for one, other in zip((*full[0], *full[1]), (*kept[0], *kept[1]), strict=True):
            assert torch.equal(one, other)


@native
def test_checkpoints_with_an_output_that_is_fed_back(variant):
    for whole in (lstm.cell, rnn.cell("silu", "sigmoid")):
        call = make(whole, LONG[0], replace(KINDS["all"], fed_back=6))
        grads = gradients_like(call)
        full = by_kernel(call, grads)
        kept = by_kernel(replace(call, checkpointed=True), grads)
        for one, other in zip((*full[0], *full[1]), (*kept[0], *kept[1]), strict=True):
            assert torch.equal(one, other)


@native
def test_checkpoints_keep_little():
    call = make(lstm.cell, (400, 1, 2, 16))
    full = cpu.saved_size(call)
    assert cpu.saved_size(replace(call, checkpointed=True)) * 60 < full
    assert segment_size(400) == 21


def test_the_references_checkpoints_change_nothing():
    call = make(lstm.cell, (40, 3, 2, 5), KINDS["all"], torch.float64)
    grads = gradients_like(call)
    full = by_reference(call, grads)
    kept = by_reference(replace(call, checkpointed=True), grads)
    for one, other in zip((*full[0], *full[1]), (*kept[0], *kept[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_batch_of_no_rows_is_seen(dtype):
    layer = elman.nn.GRU(3, 4, dtype=dtype)
    with elman.diagnostics.watch(layer) as flow:
        layer(torch.randn(5, 0, 3, dtype=dtype))[0].sum().backward()
    (seen,) = flow.last.values()
    assert seen.norms["h"].shape == (5, 0)


@native
@pytest.mark.parametrize("kind", ["dense", "lengths", "resets", "reverse", "all", "all-reverse"])
@pytest.mark.parametrize("cell", FEW)
def test_first_states_that_nobody_asks_for(cell, kind, variant):
    for shape in ((1, 5, 7, 33), (1, 70, 16, 40), (3, 40, 6, 20), (2, 1, 20, 40)):
        call = make(CELLS[cell], shape, KINDS[kind])
        check_first_states_unasked(call, gradients_like(call))
