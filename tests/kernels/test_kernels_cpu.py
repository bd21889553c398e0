"""The native kernels against the reference: every cell, shape, dtype, output and gradient."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.calls import (
    CELLS,
    KINDS,
    SHAPES,
    Kind,
    by_kernel,
    by_reference,
    check_rows_alone,
    gradients_like,
    make,
)
from tolerances import assert_close

from elman.cells import Cell, gru, lstm, rnn
from elman.kernels import cpu, tensors_of
from elman.kernels._fields import BACKWARD, FIELDS, FORWARD
from elman.kernels._machine import machine, variants

pytestmark = pytest.mark.skipif(
    not cpu.is_built(), reason="the native module is not installed (ELMAN_NATIVE=0)"
)
VARIANTS = variants()
DTYPES = [torch.float32, torch.float64]


@pytest.fixture(params=[1, 2, 3])
def threads(request, monkeypatch):
    monkeypatch.setattr(cpu, "threads", lambda: request.param)
    return request.param


def test_the_threads_that_are_asked_for_are_handed_over(threads, monkeypatch):
    asked, native = [], cpu.native

    def noting(run, fields):
        def note(kernels, packed):
            asked.append(fields.unpack(packed)[FIELDS.index("threads")])
            return run(kernels, packed)

        return note

    both = SimpleNamespace(
        forward=noting(native.forward, FORWARD), backward=noting(native.backward, BACKWARD)
    )
    monkeypatch.setattr(cpu, "native", both)
    call = make(CELLS["gru"], SHAPES[0], KINDS["dense"], torch.float32)
    by_kernel(call, gradients_like(call))
    assert asked == [threads, threads]


def _agree(call):
    grads = gradients_like(call)
    found, expected = by_kernel(call, grads), by_reference(call, grads)
    names = ["output", "h", "c"]
    for name, one, other in zip(names, found[0], expected[0], strict=False):
        assert_close(one, other, "forward", name)
    for i, (one, other) in enumerate(zip(found[1], expected[1], strict=True)):
        assert_close(one, other, "backward", f"gradient {i}")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_a_kernel_is_the_reference(cell, kind, dtype, variant):
    for shape in SHAPES:
        _agree(make(CELLS[cell], shape, KINDS[kind], dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("cell", [name for name in CELLS if name.startswith("rnn")])
def test_every_nonlinearity(cell, dtype, variant):
    _agree(make(CELLS[cell], (6, 5, 4, 19), KINDS["all"], dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["no-bias", "all-reverse"])
@pytest.mark.parametrize("cell", ["rnn", "rnn-sigmoid", "rnn-silu", "lstm"])
def test_an_output_that_is_fed_back(cell, kind, dtype, variant, threads):
    name, _, output = cell.partition("-")
    whole = lstm.cell if name == "lstm" else rnn.cell("tanh", output or "identity")
    for shape, R in (((5, 3, 7, 5), 3), ((4, 13, 8, 33), 40), ((3, 1, 4, 70), 65)):
        _agree(make(whole, shape, replace(KINDS[kind], fed_back=R), dtype))


@pytest.mark.parametrize("kind", ["dense", "all", "all-reverse"])
@pytest.mark.parametrize(
    "shape", [(6, 3, 7, 5), (9, 1, 64, 64), (7, 13, 33, 40), (9, 50, 20, 100), (4, 5, 200, 300)]
)
@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_the_same_bits_for_every_number_of_threads(cell, shape, kind, variant, monkeypatch):
    call = make(CELLS[cell], shape, KINDS[kind])
    grads = gradients_like(call)
    results = []
    for count in (1, 2, 3):
        monkeypatch.setattr(cpu, "threads", lambda count=count: count)
        outputs, gradients = by_kernel(call, grads)
        results.append([*outputs, *gradients])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_a_row_does_not_depend_on_its_neighbours(cell, variant):
    T, B, I, H = 6, 14, 9, 70
    call = make(CELLS[cell], (T, B, I, H), KINDS["all"])
    grads = gradients_like(call)
    check_rows_alone(call, grads, (0, 5, 13))


@pytest.mark.parametrize("kind", ["dense", "all", "all-reverse"])
@pytest.mark.parametrize("cell", ["gru", "gru_reset_before", "lstm"])
def test_weights_of_the_inputs_that_come_from_afar(cell, kind, variant, threads):
    # more than a megabyte of them: narrow vectors take the inputs of several steps at once
    _agree(make(CELLS[cell], (10, 19, 1500, 61), KINDS[kind]))


@pytest.mark.parametrize("kind", ["dense", "all-reverse"])
@pytest.mark.parametrize("shape", [(7, 50, 3, 17), (9, 33, 40, 40), (4, 5, 60, 100)])
@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_columns_of_both_products_that_fill_vectors_together_only(
    cell, shape, kind, variant, threads
):
    _agree(make(CELLS[cell], shape, KINDS[kind]))


# sums that begin with those of other gates, in two tiles; and one row of many columns
@pytest.mark.parametrize("shape", [(3, 90, 40, 100), (20, 1, 5, 131)])
def test_wide_gradients_that_go_to_two_places(shape, variant, monkeypatch):
    monkeypatch.setattr(cpu, "threads", lambda: 1)
    for cell in ("rnn_tanh", "lstm"):
        _agree(make(CELLS[cell], shape, KINDS["lengths"]))


def test_a_row_does_not_depend_on_whether_steps_are_taken_at_once(variant):
    # alone or among 19, its inputs are; among 90 they are not
    for B in (19, 90):
        call = make(lstm.cell, (6, B, 1200, 61), KINDS["all"])
        check_rows_alone(call, gradients_like(call), (0, B - 1))


def test_nothing_behind_a_rows_end_is_read(variant):
    call = make(gru.cell, (7, 5, 4, 9), Kind(lengths=True))
    behind = torch.arange(7)[:, None] >= call.lengths
    grads = gradients_like(call)
    clean, _ = by_kernel(call, grads)
    poisoned = replace(
        call, input=call.input.detach().masked_fill(behind[:, :, None], torch.nan).requires_grad_()
    )
    grads = [grads[0].masked_fill(behind[:, :, None], torch.nan), *grads[1:]]
    outputs, gradients = by_kernel(poisoned, grads)
    for one, other in zip(clean, outputs, strict=True):
        assert torch.equal(one, other)
    for one in gradients:
        assert torch.isfinite(one).all()
    assert (gradients[0][behind] == 0).all()


@pytest.mark.parametrize("cell", ["rnn_silu", "gru", "gru_reset_before", "lstm"])
def test_memory_that_comes_full_of_nan_is_written_whole(cell, variant):
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        call = make(CELLS[cell], (5, 3, 7, 19), KINDS["all"])
        outputs, gradients = by_kernel(call, gradients_like(call))
    finally:
        torch.use_deterministic_algorithms(False)
    for one in (*outputs, *gradients):
        assert torch.isfinite(one).all()


# under a sanitizer they are looked for in earnest
@settings(max_examples=3000 if "ELMAN_TEST_NATIVE" in os.environ else 60, deadline=None)
@given(st.data())
def test_any_lengths_resets_and_shapes(data):
    shape = tuple(data.draw(st.integers(1, most)) for most in (9, 20, 20, 70))
    cell = data.draw(st.sampled_from(["rnn_tanh", "gru", "gru_reset_before", "lstm"]))
    kind = Kind(*(data.draw(st.booleans()) for _ in range(5)))
    _agree(make(CELLS[cell], shape, kind, torch.float64))


def test_strided_inputs_need_no_copy():
    call = make(gru.cell, (5, 3, 4, 6))
    transposed = replace(
        call, input=call.input.detach().transpose(0, 1).contiguous().transpose(0, 1)
    )
    grads = gradients_like(call)
    for one, other in zip(by_kernel(call, grads)[0], by_kernel(transposed, grads)[0], strict=True):
        assert torch.equal(one, other)


def test_a_length_outside_the_batch_is_refused():
    call = replace(make(gru.cell, (5, 3, 4, 6)), lengths=torch.tensor([5, 6, 1]))
    with pytest.raises(ValueError, match=r"lengths: a length is outside 0 … T = 5"):
        cpu.forward(call, tensors_of(call), save=False)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_environment_forces_an_instruction_set(name):
    code = "from elman.kernels._machine import machine; from elman.kernels import _native;"
    code += "print(machine().name, _native.name(machine().kernels))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "ELMAN_CPU": name}, capture_output=True, text=True
    )  # fmt: skip
    assert done.stdout.split() == [name, name], done.stderr


def test_an_instruction_set_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("ELMAN_CPU", "avx1024")
    machine.cache_clear()
    with pytest.raises(ValueError, match=r"ELMAN_CPU=avx1024: this machine runs the kernels "):
        machine()
    machine.cache_clear()


def test_instruction_sets_differ_in_their_bits():
    # proof that a forced one runs: other vectors, other roundings
    if len(VARIANTS) < 2:
        pytest.skip("one instruction set only")
    call = make(lstm.cell, (20, 4, 9, 33))
    results = []
    for name in (VARIANTS[0], VARIANTS[-1]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cpu, "machine", lambda name=name: machine(name))
            results.append(cpu.forward(call, tensors_of(call), save=False)[0])
    assert not torch.equal(*results)


def test_a_forked_child_runs_one_thread():
    code = """
import os, torch
from elman import nn
torch.set_num_threads(2)
layer = nn.GRU(8, 40); x = torch.randn(9, 30, 8)
expected = layer(x)[0]
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(layer(x)[0], expected) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "0", done.stderr


def test_a_cell_that_is_not_built_in_is_named():
    call = make(gru.cell, (2, 1, 3, 4))
    own = Cell("MGU", ("f", "n"), ("h",), ("f", "n", "uh_n"), gru.step, gru.step_backward)
    why = str(cpu.unsupported(replace(call, cell=own)))
    assert why.startswith("the cell MGU is not built in, and was not compiled: ")
    assert why.endswith("wx is unpacked into 3 names, there are 2.")
