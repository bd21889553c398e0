"""bfloat16 in the processor's tiles (AMX) or vectors (AVX512-BF16) against the reference in float32."""

import struct
from dataclasses import replace

import pytest
import torch
from kernels.calls import (
    CELLS,
    KINDS,
    SHAPES,
    ByFields,
    Kind,
    by_kernel,
    by_reference,
    check_first_states_unasked,
    check_rows_alone,
    check_threads_alike,
    gradients_like,
    make,
    printed_by,
)
from tolerances import assert_near

import elman
from elman.cells import gru, lstm, rnn
from elman.kernels import cpu, tensors_of, with_tensors
from elman.kernels._machine import machine, variants
from elman.ops import _choose

ABLE = [name for name in ("amx", "avx512_bf16") if name in variants()]
pytestmark = pytest.mark.skipif(not ABLE, reason="this processor does not multiply bfloat16")
GATED = ["rnn_tanh", "gru", "gru_reset_before", "lstm"]
# more rows than a tile, a block and a chunk; units, inputs and rows around one and two tiles
MORE_SHAPES = [(6, 37, 17, 70), (3, 64, 32, 48), (23, 30, 5, 33), (2, 600, 3, 20), (40, 1, 33, 16)]
# cells whose output is fed back through a layer
FED_BACK = {
    "rnn to identity": rnn.cell("tanh", "identity"),
    "rnn to silu": rnn.cell("tanh", "silu"),
    "lstm to identity": lstm.cell,
}
# how wide that is: less and more than the state, around one and two tiles
WIDTHS = {(5, 3, 7, 5): 3, (4, 37, 8, 33): 70, (3, 1, 40, 70): 33, (9, 70, 5, 40): 17, (1, 37, 33, 64): 16}  # fmt: skip
SINGLE_STEPS = [(1, 1, 17, 33), (1, 5, 70, 16), (1, 37, 33, 100), (1, 300, 3, 20)]


@pytest.fixture(autouse=True, params=ABLE)
def able(request, monkeypatch):
    forced = machine(request.param)
    monkeypatch.setattr(cpu, "machine", lambda: forced)
    monkeypatch.setattr(_choose, "_TORCHS", {})
    return request.param


def _make(cell, shape, kind=KINDS["dense"]):
    if cell in FED_BACK:
        return make(FED_BACK[cell], shape, replace(kind, fed_back=shape[-1] // 2 + 5))
    return make(CELLS[cell], shape, kind)


def _in(call, dtype):
    """The call on the numbers that bfloat16 has of its own."""
    tensors = [None if t is None else t.detach().bfloat16().to(dtype) for t in tensors_of(call)]
    return with_tensors(call, [t if t is None else t.requires_grad_() for t in tensors])


def _agree(call):
    grads = [g.bfloat16() for g in gradients_like(call)]
    found = by_kernel(_in(call, torch.bfloat16), grads)
    expected = by_reference(_in(call, torch.float32), [g.float() for g in grads])
    for i, (one, other) in enumerate(zip(found[0], expected[0], strict=True)):
        assert_near(one, other, "forward", f"output {i}")
    for i, (one, other) in enumerate(zip(found[1], expected[1], strict=True)):
        assert_near(one, other, "backward", f"gradient {i}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", GATED)
def test_tiles_are_the_reference(cell, kind):
    for shape in SHAPES + MORE_SHAPES + SINGLE_STEPS:
        _agree(make(CELLS[cell], shape, KINDS[kind]))


@pytest.mark.parametrize("cell", [name for name in CELLS if name.startswith("rnn")])
def test_every_nonlinearity(cell):
    call = make(CELLS[cell], (6, 5, 4, 19), KINDS["all"])
    if cell == "rnn_hardtanh":
        # rounded, a number beside its kinks lies behind them: stay between
        for one in (call.input, call.weights.hh, call.weights.bias_ih, call.weights.bias_hh):
            one.data.mul_(0.25)
    _agree(call)


@pytest.mark.parametrize("kind", ["no-bias", "all", "all-reverse"])
@pytest.mark.parametrize("name", FED_BACK)
def test_an_output_that_is_fed_back(name, kind):
    for shape, width in WIDTHS.items():
        _agree(make(FED_BACK[name], shape, replace(KINDS[kind], fed_back=width)))


def test_a_long_sum_keeps_its_digits():
    # 64 x 512 steps: a sum in bfloat16 would stop growing at 256 of them
    call = make(rnn.cell("identity"), (64, 512, 3, 5))
    call.weights.hh.data.zero_()
    call.input.data.fill_(1)
    grads = [torch.ones(64, 512, 5).bfloat16(), torch.zeros(512, 5).bfloat16()]
    _, gradients = by_kernel(_in(call, torch.bfloat16), grads)
    assert (gradients[1] == 64 * 512).all()
    assert (gradients[3] == 64 * 512).all()


@pytest.mark.parametrize("kind", ["dense", "all", "all-reverse"])
@pytest.mark.parametrize(
    "shape", [(6, 3, 7, 5), (9, 1, 64, 64), (7, 40, 33, 100), (1, 11, 200, 230), (1, 40, 65, 100)]
)
@pytest.mark.parametrize("cell", [*GATED, *FED_BACK])
def test_the_same_bits_for_every_number_of_threads(cell, shape, kind, monkeypatch):
    call = _in(_make(cell, shape, KINDS[kind]), torch.bfloat16)
    check_threads_alike(call, [g.bfloat16() for g in gradients_like(call)], monkeypatch)


@pytest.mark.parametrize("cell", [*GATED, *FED_BACK])
def test_a_row_does_not_depend_on_its_neighbours(cell):
    for steps in (6, 1):
        call = _in(_make(cell, (steps, 40, 9, 70), KINDS["all"]), torch.bfloat16)
        grads = [g.bfloat16() for g in gradients_like(call)]
        check_rows_alone(call, grads, (0, 17, 39))


@pytest.mark.parametrize("rows", [1, 37])
@pytest.mark.parametrize("cell", [*GATED, *FED_BACK])
def test_a_single_step_is_the_first_of_two(cell, rows):
    # its weights are packed panel by panel, those of two steps all at once
    two = _in(_make(cell, (2, rows, 50, 70), KINDS["dense"]), torch.bfloat16)
    (first, *_), _ = by_kernel(two, [g.bfloat16() for g in gradients_like(two)])
    one = replace(two, input=two.input.detach()[:1].requires_grad_())
    (alone, *_), _ = by_kernel(one, [g.bfloat16() for g in gradients_like(one)])
    assert torch.equal(alone[0], first[0])


@pytest.mark.parametrize("kind", ["dense", "all-reverse"])
@pytest.mark.parametrize("cell", [*GATED, *FED_BACK])
def test_first_states_that_nobody_asks_for(cell, kind):
    for shape in ((1, 5, 7, 33), (3, 40, 6, 20)):
        call = _in(_make(cell, shape, KINDS[kind]), torch.bfloat16)
        check_first_states_unasked(call, [g.bfloat16() for g in gradients_like(call)])


@pytest.mark.parametrize("cell", [*GATED, *FED_BACK])
def test_nothing_behind_a_rows_end_is_read(cell):
    call = _in(_make(cell, (7, 35, 4, 9), Kind(lengths=True)), torch.bfloat16)
    behind = (torch.arange(7)[:, None] >= call.lengths)[:, :, None]
    grads = [g.bfloat16() for g in gradients_like(call)]
    clean, _ = by_kernel(call, grads)
    poisoned = replace(call, input=call.input.detach().masked_fill(behind, torch.nan))
    outputs, gradients = by_kernel(poisoned, [grads[0].masked_fill(behind, torch.nan), *grads[1:]])
    for one, other in zip(clean, outputs, strict=True):
        assert torch.equal(one, other)
    for one in gradients:
        assert torch.isfinite(one).all()
    assert (gradients[0].masked_select(behind) == 0).all()


@pytest.mark.parametrize("cell", [*GATED, *FED_BACK])
def test_memory_that_comes_full_of_nan_is_written_whole(cell):
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        call = _in(_make(cell, (5, 3, 7, 19), KINDS["all"]), torch.bfloat16)
        outputs, gradients = by_kernel(call, [g.bfloat16() for g in gradients_like(call)])
    finally:
        torch.use_deterministic_algorithms(False)
    for one in (*outputs, *gradients):
        assert torch.isfinite(one).all()


@pytest.mark.parametrize("cell", [*GATED, *FED_BACK])
def test_no_step_at_all_leaves_zeros_and_hands_the_gradient_on(cell):
    call = replace(_make(cell, (4, 3, 5, 6)), lengths=torch.zeros(3, dtype=torch.int64))
    call = _in(call, torch.bfloat16)
    grads = [g.bfloat16() for g in gradients_like(call)]
    outputs, gradients = by_kernel(call, grads)
    assert (outputs[0] == 0).all()
    at = len(gradients) - len(call.state)
    assert all((one == 0).all() for one in gradients[:at])
    found = (*outputs[1:], *gradients[at:])
    for one, given in zip(found, (*call.state, *grads[1:]), strict=True):
        assert torch.equal(one, given)


def test_a_nan_in_one_row_stays_there():
    call = _in(make(gru.cell, (4, 20, 5, 40)), torch.bfloat16)
    grads = [g.bfloat16() for g in gradients_like(call)]
    clean, _ = by_kernel(call, grads)
    poisoned = call.input.detach().clone()
    poisoned[:, 3] = torch.nan
    (output, _), _ = by_kernel(replace(call, input=poisoned), grads)
    others = torch.arange(20) != 3
    assert output[:, 3].isnan().all()
    assert torch.equal(output[:, others], clean[0][:, others])


def test_the_forced_kernels_run():
    # tiles take a factor below 1e-38 for zero, float32's units do not
    code = """
import torch, elman
layer = elman.nn.RNN(1, 1, nonlinearity="identity", bias=False, dtype=torch.bfloat16)
with torch.no_grad():
    layer.weight_ih_l0.fill_(2.0**40)
    print(float(layer(torch.full((1, 1, 1), 2.0**-130, dtype=torch.bfloat16))[0]) == 2.0**-90)
"""
    for name, expected in (*((one, "False") for one in ABLE), ("avx512", "True")):
        assert printed_by(code, ELMAN_CPU=name) == [expected]


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        (None, {}, 2),
        (None, {"proj_size": 30}, 2),
        ("avx512", {}, 4),
        (None, {"bptt": "checkpointed"}, 4),
    ],
)
def test_explain_says_how_bfloat16_runs(name, options, size, able, monkeypatch):
    forced = machine(name or able)
    monkeypatch.setattr(cpu, "machine", lambda: forced)
    layer = elman.nn.LSTM(5, 40, dtype=torch.bfloat16, **options)
    x = torch.randn(3, 16, 5).bfloat16()
    sizes = []

    class Native(ByFields):
        def forward(self, kernels, call):
            sizes.append(struct.unpack_from("q", call)[0])
            return self.native.forward(kernels, call)

    monkeypatch.setattr(cpu, "native", Native(cpu.native))
    layer(x)
    assert sizes == [size]
    said = "cpu by way of float32 (" in str(elman.explain(layer, x))
    assert said == (size == 4)


def test_what_is_saved_takes_half_the_room():
    call = make(gru.cell, (4, 3, 5, 64))
    saved = [
        cpu.forward(one, [None if t is None else t.detach() for t in tensors_of(one)], save=True)[2]
        for one in (call, _in(call, torch.bfloat16))
    ]
    assert 2 * saved[1].nbytes == saved[0].nbytes
