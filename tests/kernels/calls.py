"""Calls of every cell for the kernels' tests."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tolerances import assert_close

from elman.cells import NONLINEARITIES, gru, gru_reset_before, lstm, rnn
from elman.kernels import Call, Weights, cpu, reference, tensors_of, with_tensors
from elman.ops._reversed import in_time

CELLS = {
    **{f"rnn_{name}": rnn.cell(name) for name in NONLINEARITIES},
    "gru": gru.cell,
    "gru_reset_before": gru_reset_before.cell,
    "lstm": lstm.cell,
}
# native/module.cpp
NOT_PLAIN = 3
# 1, primes, a vector, one more and one less than a few
SHAPES = [(1, 1, 1, 1), (5, 3, 7, 5), (9, 1, 64, 64), (7, 13, 33, 40), (3, 2, 16, 75), (4, 33, 1, 131)]  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What a call has besides a dense batch."""

    lengths: bool = False
    resets: bool = False
    initial: bool = False
    reverse: bool = False
    bias: bool = True
    fed_back: int = 0


KINDS = {
    "dense": Kind(),
    "no-bias": Kind(bias=False),
    "lengths": Kind(lengths=True),
    "resets": Kind(resets=True),
    "all": Kind(lengths=True, resets=True, initial=True),
    "reverse": Kind(reverse=True),
    "all-reverse": Kind(lengths=True, resets=True, initial=True, reverse=True),
}


def make(cell, shape, kind=KINDS["dense"], dtype=torch.float32):
    T, B, I, H = shape
    G, R = len(cell.gates), kind.fed_back or H
    sizes = [R if i == 0 else H for i in range(len(cell.states))]

    def draw(*size):
        # gradients neither vanish nor explode
        return (torch.randn(*size, dtype=dtype) * min(0.3, size[-1] ** -0.5)).requires_grad_()

    weights = Weights(
        draw(G * H, I),
        draw(G * H, R),
        draw(G * H) if kind.bias else None,
        draw(G * H) if kind.bias else None,
        draw(R, H) if kind.fed_back else None,
        draw(R) if kind.fed_back and kind.bias else None,
    )
    return Call(
        cell,
        weights,
        draw(T, B, I),
        tuple(draw(B, size) for size in sizes),
        tuple(draw(size) for size in sizes) if kind.initial else None,
        torch.randint(0, T + 1, (B,)) if kind.lengths else None,
        torch.rand(T, B) < 0.3 if kind.resets else None,
        reverse=kind.reverse,
    )


class ByFields:
    """The native module for calls as rows of integers alone: no tensor is plain."""

    def __init__(self, native):
        self.native = native

    def __getattr__(self, name):
        return getattr(self.native, name)

    def scan(self, *_):
        return NOT_PLAIN

    scan_back = run_stack = run_stack_back = scan


def gradients_like(call):
    T, B = call.input.shape[:2]
    dtype = call.input.dtype
    return [
        torch.randn(T, B, call.widths[0], dtype=dtype),
        *(torch.randn(s.shape, dtype=dtype) for s in call.state),
    ]


def by_reference(call, grads):
    """Outputs and every gradient."""
    (output,), after = in_time(call, reference.scan)
    tensors = [t for t in tensors_of(call) if t is not None]
    loss = sum((y * g).sum() for y, g in zip((output, *after), grads, strict=True))
    found = torch.autograd.grad(loss, tensors, allow_unused=True)
    zeros = [torch.zeros_like(t) for t in tensors]
    return [output.detach(), *(s.detach() for s in after)], [
        z if g is None else g for g, z in zip(found, zeros, strict=True)
    ]


def by_kernel(call, grads, without=()):
    """Outputs and every gradient but some of the tensors', by their places."""
    tensors = [None if t is None else t.detach() for t in tensors_of(call)]
    plain = replace(with_tensors(call, tensors))
    output, after, saved = cpu.forward(plain, tensors, save=True)
    needed = [t is not None and i not in without for i, t in enumerate(tensors)]
    found = cpu.backward(plain, tensors, grads, needed, output, saved)
    return [output, *after], [g for g, need in zip(found, needed, strict=True) if need]


def check_agrees(call):
    """Outputs and every gradient are the reference's."""
    grads = gradients_like(call)
    found, expected = by_kernel(call, grads), by_reference(call, grads)
    names = ["output", "h", "c"]
    for name, one, other in zip(names, found[0], expected[0], strict=False):
        assert_close(one, other, "forward", name)
    for i, (one, other) in enumerate(zip(found[1], expected[1], strict=True)):
        assert_close(one, other, "backward", f"gradient {i}")


def check_first_states_unasked(call, grads):
    """All else has the same bits where nobody asks for the gradient of the first states."""
    outputs, gradients = by_kernel(call, grads)
    found, others = by_kernel(call, grads, without=(7, 8))
    first = len(gradients) - len(others)
    assert first == len(call.state)
    # input and weights, then the states
    at = sum(t is not None for t in tensors_of(call)[:7])
    expected = [*outputs, *gradients[:at], *gradients[at + first :]]
    for one, other in zip([*found, *others], expected, strict=True):
        assert torch.equal(one, other)


def printed_by(code, **environment):
    """What a process of its own prints, on the native module that the tests run on."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import conftest\n" + code],
        cwd=Path(__file__).parents[1], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def check_threads_alike(call, grads, monkeypatch):
    """The same bits on one, two and three threads."""
    results = []
    for count in (1, 2, 3):
        monkeypatch.setattr(cpu, "threads", lambda count=count: count)
        outputs, gradients = by_kernel(call, grads)
        results.append([*outputs, *gradients])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert torch.equal(one, two)


def check_rows_alone(call, grads, rows):
    """Each of these rows has the same bits alone as among its neighbours."""
    (output, *after), gradients = by_kernel(call, grads)
    for b in rows:
        row = slice(b, b + 1)
        alone = replace(
            call,
            input=call.input[:, row],
            state=tuple(s[row] for s in call.state),
            lengths=call.lengths[row],
            resets=call.resets[:, row],
        )
        (y, *last), dalone = by_kernel(alone, [grads[0][:, row], *(g[row] for g in grads[1:])])
        assert torch.equal(y, output[:, row])
        for one, many in zip(last, after, strict=True):
            assert torch.equal(one, many[row])
        assert torch.equal(dalone[0], gradients[0][:, row])
