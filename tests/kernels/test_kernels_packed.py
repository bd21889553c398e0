"""Packed rows: the numbers of a padded batch of the same rows, wherever they stand."""

from dataclasses import replace

import pytest
import torch
from kernels.calls import CELLS, KINDS, ByFields, by_kernel, gradients_like, make
from torch.nn.utils.rnn import pack_padded_sequence

from elman.cells import lstm, rnn
from elman.kernels import cpu

pytestmark = pytest.mark.skipif(
    not cpu.is_built(), reason="the native module is not installed (ELMAN_NATIVE=0)"
)
FED_BACK = {"rnn": rnn.cell("tanh", "silu"), "lstm": lstm.cell}
FEW = ["rnn_tanh", "gru", "gru_reset_before", "lstm"]
SHAPES = [(1, 1, 1, 1), (5, 3, 7, 5), (30, 40, 5, 24), (7, 13, 33, 40), (9, 33, 1, 131), (260, 2, 40, 40)]  # fmt: skip


def ragged(cell, shape, kind, dtype=torch.float32):
    """A padded call, longest row first, and gradients."""
    T, B, _, _ = shape
    call = make(cell, shape, kind, dtype)
    lengths = torch.randint(1, T + 1, (B,)).sort(descending=True).values
    lengths[0] = T
    call = replace(call, lengths=lengths)
    return call, gradients_like(call)


def data_of(sequence, call):
    return pack_padded_sequence(sequence.detach(), call.lengths).data


def packed_of(call, grads):
    """The same packed."""
    sizes = pack_padded_sequence(call.input.detach(), call.lengths).batch_sizes
    data = data_of(call.input, call).requires_grad_()
    packed = replace(call, input=data, lengths=None, batch_sizes=sizes)
    return packed, [data_of(grads[0], call), *grads[1:]]


def assert_same(call, grads):
    outputs, gradients = by_kernel(call, grads)
    packed_outputs, packed_gradients = by_kernel(*packed_of(call, grads))
    for padded, found in ((outputs, packed_outputs), (gradients, packed_gradients)):
        assert torch.equal(found[0], data_of(padded[0], call))
        for one, other in zip(found[1:], padded[1:], strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["dense", "no-bias", "reverse"])
@pytest.mark.parametrize("cell", FEW)
def test_the_same_bits(cell, kind, dtype, count, variant, monkeypatch):
    monkeypatch.setattr(cpu, "threads", lambda: count)
    for shape in SHAPES:
        assert_same(*ragged(CELLS[cell], shape, KINDS[kind], dtype))


@pytest.mark.skipif(not cpu.has_bfloat16(), reason="this processor does not multiply bfloat16")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", ["dense", "no-bias", "reverse"])
@pytest.mark.parametrize("cell", FEW)
def test_the_same_bits_in_bfloat16(cell, kind, count, monkeypatch):
    monkeypatch.setattr(cpu, "threads", lambda: count)
    for shape in (*SHAPES, (6, 70, 17, 70), (40, 2, 33, 16)):
        assert_same(*ragged(CELLS[cell], shape, KINDS[kind], torch.bfloat16))


@pytest.mark.parametrize("kind", ["dense", "reverse"])
@pytest.mark.parametrize("cell", FED_BACK.values(), ids=FED_BACK)
def test_an_output_that_is_fed_back(cell, kind, variant):
    assert_same(*ragged(cell, (9, 13, 8, 33), replace(KINDS[kind], fed_back=40)))


@pytest.mark.skipif(not cpu.has_bfloat16(), reason="this processor does not multiply bfloat16")
@pytest.mark.parametrize("kind", ["dense", "reverse"])
@pytest.mark.parametrize("cell", FED_BACK.values(), ids=FED_BACK)
def test_an_output_that_is_fed_back_in_bfloat16(cell, kind):
    assert_same(*ragged(cell, (9, 13, 8, 33), replace(KINDS[kind], fed_back=40), torch.bfloat16))


@pytest.mark.parametrize("changes", [{"checkpointed": True}, {"gradient_clip": 0.02}], ids=str)
@pytest.mark.parametrize("kind", ["dense", "reverse"])
@pytest.mark.parametrize("cell", FEW)
def test_checkpoints_and_clipped_gradients(cell, kind, changes):
    call, grads = ragged(CELLS[cell], (30, 7, 5, 24), KINDS[kind])
    assert_same(replace(call, **changes), grads)


class Eye:
    """Notes what it sees."""

    vectors = True

    def seen(self, norms, vectors):
        self.norms, self.states = norms.view(torch.float64), vectors


@pytest.mark.parametrize("kind", ["dense", "reverse"])
@pytest.mark.parametrize("cell", FEW)
def test_a_watch_sees_the_padded_rows(cell, kind):
    # fewer rows than are measured at once, and more
    for rows in (7, 33):
        call, grads = ragged(CELLS[cell], (12, rows, 5, 24), KINDS[kind])
        eyes = Eye(), Eye()
        by_kernel(replace(call, watch=eyes[0]), grads)
        packed, packed_grads = packed_of(call, grads)
        by_kernel(replace(packed, watch=eyes[1]), packed_grads)
        assert torch.equal(eyes[0].norms, eyes[1].norms)
        for one, other in zip(eyes[0].states, eyes[1].states, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("cell", FEW)
def test_tensors_that_are_not_plain(cell, checkpointed, monkeypatch):
    call, grads = ragged(CELLS[cell], (12, 7, 5, 24), KINDS["dense"])
    packed, packed_grads = packed_of(replace(call, checkpointed=checkpointed), grads)
    expected = by_kernel(packed, packed_grads)
    monkeypatch.setattr(cpu, "native", ByFields(cpu.native))
    turned = replace(
        packed,
        # rows apart, and numbers of a row apart
        input=torch.stack([packed.input.detach()] * 2, 1)[:, 0].requires_grad_(),
        batch_sizes=packed.batch_sizes.int(),
    )
    found = by_kernel(turned, [packed_grads[0].T.contiguous().T, *packed_grads[1:]])
    for one, other in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("by_fields", [False, True])
@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ([2, 3], r"GRU: batch_sizes are \[2, 3\]; give numbers above zero that do not rise."),
        ([3, 2, 0], r"GRU: batch_sizes are \[3, 2, 0\]; give numbers above zero"),
        ([3, 1], "GRU: batch_sizes sum up to 4, and the data have 5 rows; give as many."),
        ([3, 3], "GRU: batch_sizes sum up to 6, and the data have 5 rows; give as many."),
        ([10**15, 5 - 10**15], "give numbers above zero that do not rise."),
    ],
)
def test_batch_sizes_that_do_not_fit(sizes, text, by_fields, monkeypatch):
    if by_fields:
        monkeypatch.setattr(cpu, "native", ByFields(cpu.native))
    call = make(CELLS["gru"], (5, min(sizes[0], 9), 3, 4))
    call = replace(call, input=torch.randn(5, 3), batch_sizes=torch.tensor(sizes))
    with pytest.raises(ValueError, match=text):
        by_kernel(call, [torch.randn(5, 4), call.state[0].detach()])
