"""Few steps, of few and many rows, whose weights are not packed, against the reference."""

import os
import resource
from dataclasses import replace

import pytest
import torch
from kernels.calls import (
    CELLS,
    KINDS,
    by_kernel,
    check_agrees,
    check_rows_alone,
    check_threads_alike,
    gradients_like,
    make,
)

from elman import nn
from elman.kernels import cpu

pytestmark = pytest.mark.skipif(
    not cpu.is_built(), reason="the native module is not installed (ELMAN_NATIVE=0)"
)
GATED = ["rnn_tanh", "gru", "gru_reset_before", "lstm"]
# from one row over full vectors of rows, and one less and one more, to those that pay for packing
ROWS = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 28, 31, 32, 33, 47, 64, 65, 90, 96, 130]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("cell", GATED)
def test_any_number_of_rows(cell, dtype, variant):
    for rows in ROWS:
        check_agrees(make(CELLS[cell], (1, rows, 9, 21), KINDS["dense"], dtype))


@pytest.mark.parametrize("kind", ["all", "no-bias"])
@pytest.mark.parametrize("shape", [(1, 30, 1, 1), (1, 13, 70, 5), (1, 45, 3, 40), (1, 16, 32, 64)])
@pytest.mark.parametrize("cell", GATED)
def test_any_size(cell, shape, kind, variant):
    check_agrees(make(CELLS[cell], shape, KINDS[kind]))


@pytest.mark.parametrize("cell", GATED)
def test_a_row_does_not_depend_on_its_neighbours(cell, variant):
    for rows in ROWS[4:]:
        call = make(CELLS[cell], (1, rows, 9, 21), KINDS["all"])
        check_rows_alone(call, gradients_like(call), (0, rows // 2, rows - 1))


def test_weights_that_come_from_memory_are_not_packed_for_more_rows(variant):
    call = make(CELLS["lstm"], (1, 20, 1100, 260), KINDS["all"])
    check_agrees(call)
    check_rows_alone(call, gradients_like(call), (0, 19))


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("kind", ["all", "all-reverse", "no-bias"])
@pytest.mark.parametrize("cell", GATED)
def test_a_few_steps(cell, kind, checkpointed, variant):
    # small weights are packed
    for steps, rows in ((2, 16), (4, 16), (3, 29), (2, 32), (2, 3), (2, 8)):
        call = make(CELLS[cell], (steps, rows, 900, 71), KINDS[kind])
        check_agrees(replace(call, checkpointed=checkpointed))


@pytest.mark.parametrize("rows", [1, 3, 8, 16, 32])
@pytest.mark.parametrize("cell", GATED)
def test_few_steps_are_the_first_of_many(cell, rows, variant):
    # the weights of the latter are packed, those of the former are too many for so little
    many = make(CELLS[cell], (40, rows, 800, 350), KINDS["dense"])
    few = replace(many, input=many.input.detach()[:2])
    (expected, *_), (found, *_) = (by_kernel(one, gradients_like(one))[0] for one in (many, few))
    assert torch.equal(found, expected[:2])


@pytest.mark.parametrize("rows", [7, 11, 32, 70])
@pytest.mark.parametrize("cell", GATED)
def test_the_same_bits_for_every_number_of_threads(cell, rows, variant, monkeypatch):
    call = make(CELLS[cell], (1, rows, 150, 170), KINDS["dense"])
    check_threads_alike(call, gradients_like(call), monkeypatch)


@pytest.mark.skipif(
    "ASAN_OPTIONS" in os.environ, reason="under AddressSanitizer every block is its own"
)
def test_a_step_finds_its_memory_again_after_many_other_sizes():
    # two megabytes of weights are packed for each of the cell's calls
    with torch.no_grad():
        for i in range(60):
            size = 17 + 3 * i
            nn.LSTM(size, size, backend="cpu")(torch.randn(3, 140 + i, size))
        cell, x = nn.GRUCell(300, 300, backend="cpu"), torch.randn(200, 300)
        for _ in range(3):
            cell(x)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            cell(x)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    # fresh memory is touched page by page: 500 of them for a call's weights alone
    assert faults < 20 * 100
