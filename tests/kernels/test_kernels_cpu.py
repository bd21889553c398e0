"""The native kernels against the reference: every cell, shape, dtype, output and gradient."""

import os
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.calls import (
    CELLS,
    KINDS,
    SHAPES,
    ByFields,
    Kind,
    by_kernel,
    check_agrees,
    check_rows_alone,
    check_threads_alike,
    gradients_like,
    make,
    printed_by,
)
from tolerances import assert_close

from elman import nn
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


@pytest.mark.parametrize("way", ["read", "by fields"])
def test_the_threads_that_are_asked_for_are_handed_over(way, threads, monkeypatch):
    asked, native = [], cpu.native

    def noting(run, fields):
        def note(kernels, packed):
            asked.append(fields.unpack(packed)[FIELDS.index("threads")])
            return run(kernels, packed)

        return note

    def noting_tensors(run):
        def note(kernels, cell, activation, threads, *others):
            asked.append(threads)
            return run(kernels, cell, activation, threads, *others)

        return note

    noted = ByFields(native)
    if way == "by fields":
        noted.forward = noting(native.forward, FORWARD)
        noted.backward = noting(native.backward, BACKWARD)
    else:
        noted.scan = noting_tensors(native.scan)
        noted.scan_back = noting_tensors(native.scan_back)
    monkeypatch.setattr(cpu, "native", noted)
    call = make(CELLS["gru"], SHAPES[0], KINDS["dense"], torch.float32)
    by_kernel(call, gradients_like(call))
    assert asked == [threads, threads]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_a_kernel_is_the_reference(cell, kind, dtype, variant):
    for shape in SHAPES:
        check_agrees(make(CELLS[cell], shape, KINDS[kind], dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("cell", [name for name in CELLS if name.startswith("rnn")])
def test_every_nonlinearity(cell, dtype, variant):
    check_agrees(make(CELLS[cell], (6, 5, 4, 19), KINDS["all"], dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["no-bias", "all-reverse"])
@pytest.mark.parametrize("cell", ["rnn", "rnn-sigmoid", "rnn-silu", "lstm"])
def test_an_output_that_is_fed_back(cell, kind, dtype, variant, threads):
    name, _, output = cell.partition("-")
    whole = lstm.cell if name == "lstm" else rnn.cell("tanh", output or "identity")
    for shape, R in (((5, 3, 7, 5), 3), ((4, 13, 8, 33), 40), ((3, 1, 4, 70), 65)):
        check_agrees(make(whole, shape, replace(KINDS[kind], fed_back=R), dtype))


@pytest.mark.parametrize("kind", ["dense", "all", "all-reverse"])
@pytest.mark.parametrize(
    "shape", [(6, 3, 7, 5), (9, 1, 64, 64), (7, 13, 33, 40), (9, 50, 20, 100), (4, 5, 200, 300)]
)
@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_the_same_bits_for_every_number_of_threads(cell, shape, kind, variant, monkeypatch):
    call = make(CELLS[cell], shape, KINDS[kind])
    check_threads_alike(call, gradients_like(call), monkeypatch)


@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_a_row_does_not_depend_on_its_neighbours(cell, variant):
    T, B, I, H = 6, 14, 9, 70
    call = make(CELLS[cell], (T, B, I, H), KINDS["all"])
    grads = gradients_like(call)
    check_rows_alone(call, grads, (0, 5, 13))


@pytest.mark.parametrize("hidden", [48, 64, 80])
@pytest.mark.parametrize("cell", ["gru", "gru_reset_before", "lstm"])
def test_weights_that_fill_the_first_cache_more_than_once(cell, hidden, variant):
    call = make(CELLS[cell], (7, 3, 9, hidden), KINDS["all"])
    check_agrees(call)
    check_rows_alone(call, gradients_like(call), (0, 2))


@pytest.mark.parametrize("kind", ["dense", "all", "all-reverse"])
@pytest.mark.parametrize("cell", ["gru", "gru_reset_before", "lstm"])
def test_weights_of_the_inputs_that_come_from_afar(cell, kind, variant, threads):
    # more than a megabyte of them: narrow vectors take the inputs of several steps at once
    check_agrees(make(CELLS[cell], (10, 19, 1500, 61), KINDS[kind]))


@pytest.mark.parametrize("kind", ["dense", "all-reverse"])
@pytest.mark.parametrize("shape", [(7, 50, 3, 17), (9, 33, 40, 40), (4, 5, 60, 100)])
@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_columns_of_both_products_that_fill_vectors_together_only(
    cell, shape, kind, variant, threads
):
    check_agrees(make(CELLS[cell], shape, KINDS[kind]))


# sums that begin with those of other gates, in two tiles; and one row of many columns
@pytest.mark.parametrize("shape", [(3, 90, 40, 100), (20, 1, 5, 131)])
def test_wide_gradients_that_go_to_two_places(shape, variant, monkeypatch):
    monkeypatch.setattr(cpu, "threads", lambda: 1)
    for cell in ("rnn_tanh", "lstm"):
        check_agrees(make(CELLS[cell], shape, KINDS["lengths"]))


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
    check_agrees(make(CELLS[cell], shape, kind, torch.float64))


def test_strided_inputs_need_no_copy():
    call = make(gru.cell, (5, 3, 4, 6))
    transposed = replace(
        call, input=call.input.detach().transpose(0, 1).contiguous().transpose(0, 1)
    )
    grads = gradients_like(call)
    for one, other in zip(by_kernel(call, grads)[0], by_kernel(transposed, grads)[0], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("shape", [(16,), (3, 16), (5, 1, 16)], ids=["one", "by-row", "by-step"])
def test_inputs_that_are_one_and_the_same(shape, variant):
    call = make(gru.cell, (5, 3, 16, 24))
    grads, same = gradients_like(call), torch.randn(shape).expand(5, 3, 16)
    found = by_kernel(replace(call, input=same), grads)
    expected = by_kernel(replace(call, input=same.contiguous()), grads)
    for one, other in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        assert_close(one, other)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hh": (18, 5)}, "GRU: weight_hh has shape (18, 5), expected (18, 6), (G * H, R)."),
        ({"ih": (18, 9)}, "GRU: weight_ih has shape (18, 9), expected (18, 4), (G * H, I)."),
        ({"ih": (17, 4)}, "GRU: weight_ih has shape (17, 4), expected (15, 4), (G * H, I)."),
        ({"bias_ih": (6,)}, "GRU: bias_ih has shape (6,), expected (18,), (G * H,)."),
        ({"state": (2, 6)}, "GRU: h has shape (2, 6), expected (3, 6)."),
        ({"initial": (3,)}, "GRU: h has shape (3,), expected (6,)."),
        ({"lengths": (2,)}, "GRU: lengths has shape (2,), expected (3,)."),
        ({"resets": (4, 3)}, "GRU: resets has shape (4, 3), expected (5, 3)."),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_nothing_that_is_not_there_is_read(change, text):
    call = make(gru.cell, (5, 3, 4, 6))
    ((name, shape),) = change.items()
    if name in ("ih", "hh", "bias_ih"):
        call = replace(call, weights=replace(call.weights, **{name: torch.zeros(shape)}))
    else:
        made = torch.zeros(shape, dtype={"lengths": torch.int64, "resets": bool}.get(name))
        call = replace(call, **{name: (made,) if name in ("state", "initial") else made})
    with pytest.raises(ValueError, match="GRU") as caught:
        cpu.forward(call, tensors_of(call), save=True)
    assert str(caught.value) == text


def test_a_layer_whose_weights_were_put_there_is_refused_too():
    layer, x = nn.GRU(8, 16), torch.randn(3, 2, 8)
    layer.bias_ih_l0 = torch.nn.Parameter(torch.zeros(16))
    for call in (layer, torch.no_grad()(layer)):
        with pytest.raises(ValueError, match=r"GRU: bias_ih has shape \(16,\), expected \(48,\)"):
            call(x)


def test_a_length_outside_the_batch_is_refused():
    call = replace(make(gru.cell, (5, 3, 4, 6)), lengths=torch.tensor([5, 6, 1]))
    with pytest.raises(ValueError, match=r"lengths: a length is outside 0 … T = 5"):
        cpu.forward(call, tensors_of(call), save=False)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_environment_forces_an_instruction_set(name):
    code = """
from elman.kernels import _native
from elman.kernels._machine import machine
print(machine().name, _native.name(machine().kernels))
"""
    assert printed_by(code, ELMAN_CPU=name) == [name, name]


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
stepper = layer.stepper(30)
stepper(x[0])
child = os.fork()
if child == 0:
    is_same = torch.equal(layer(x)[0], expected) and torch.equal(stepper(x[1]), expected[1])
    os._exit(0 if is_same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert printed_by(code) == ["0"]


def test_a_team_may_be_smaller_than_was_asked_for():
    code = """
import torch
from elman import nn
torch.set_num_threads(2)
x = torch.randn(3, 30, 8)
for layer in (nn.GRU(8, 40), nn.GRU(8, 256)):
    stepper = layer.stepper(30)
    print(torch.equal(torch.stack([stepper(x_t) for x_t in x]), layer(x)[0]))
"""
    assert printed_by(code, OMP_THREAD_LIMIT="1") == ["True", "True"]


def test_a_cell_that_is_not_built_in_is_named():
    call = make(gru.cell, (2, 1, 3, 4))
    own = Cell("MGU", ("f", "n"), ("h",), ("f", "n", "uh_n"), gru.step, gru.step_backward)
    why = str(cpu.unsupported(replace(call, cell=own)))
    assert why.startswith("the cell MGU is not built in, and was not compiled: ")
    assert why.endswith("wx is unpacked into 3 names, there are 2.")
