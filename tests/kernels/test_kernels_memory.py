"""The pool of large tensors."""

import gc

import pytest
import torch

import elman
from elman.kernels import _memory


@pytest.fixture(autouse=True)
def empty_pool(monkeypatch):
    monkeypatch.setattr(_memory, "_free", [])


LIKE = torch.empty(0)
NUMBERS = _memory.LARGE // 4


def test_memory_comes_back_when_its_last_tensor_is_gone():
    first = _memory.empty(LIKE, 2, NUMBERS)
    address, part = first.data_ptr(), first[1]
    del first
    other = _memory.empty(LIKE, 2, NUMBERS)
    assert other.data_ptr() != address, "a view still holds it"
    del part, other
    gc.collect()
    again = {_memory.empty(LIKE, 2, NUMBERS).data_ptr() for _ in range(3)}
    assert address in again or len(again) == 1


@pytest.mark.parametrize("rows", [1, 64])
def test_a_large_output_is_a_tensor_like_a_small_one(rows):
    layer, x = elman.nn.GRU(8, 64), torch.randn(100, rows, 8)
    layer(x)[0].mul_(2)
    layer(x)[0].detach_()


def test_without_memory_what_is_kept_is_given_back_first(monkeypatch):
    _memory.empty(LIKE, NUMBERS)
    room = _memory._map

    def map_(size):
        if _memory._free or _memory._returned:
            raise OSError(12, "Cannot allocate memory")
        return room(size)

    monkeypatch.setattr(_memory, "_map", map_)
    assert _memory.empty(LIKE, 5 * NUMBERS).shape == (5 * NUMBERS,)
    # more than any machine has
    monkeypatch.setattr(_memory, "_map", lambda size: room(1 << 62))
    with pytest.raises(MemoryError, match=r"there is no memory for a tensor of 1,310,720 bytes\."):
        _memory.empty(LIKE, 5 * NUMBERS // 4)


def test_small_tensors_are_torchs():
    _memory.empty(LIKE, NUMBERS - 1)
    assert not _memory._free


def test_a_slab_is_not_taken_for_half_of_it_or_less():
    address = _memory.empty(LIKE, 5 * NUMBERS).data_ptr()
    kept = _memory.empty(LIKE, 2 * NUMBERS)
    assert kept.data_ptr() != address


def test_what_nobody_uses_is_bounded(monkeypatch):
    monkeypatch.setattr(_memory, "KEPT", 3 * _memory.LARGE)
    held = [_memory.empty(LIKE, NUMBERS) for _ in range(6)]
    del held
    assert len(_memory._free) == 3


def test_where_memory_must_be_filled_the_allocator_fills_it():
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.utils.deterministic.fill_uninitialized_memory
        assert _memory.empty(LIKE, NUMBERS).isnan().all()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_layers_output_lives_as_long_as_it_is_held():
    layer = elman.nn.GRU(8, 64)
    x = torch.randn(300, 16, 8)
    with torch.no_grad():
        kept = layer(x)[0]
        copy = kept.clone()
        for _ in range(3):
            layer(torch.randn(300, 16, 8))
    assert torch.equal(kept, copy)


def test_the_collector_may_come_while_memory_is_taken():
    slab = _memory.empty(LIKE, NUMBERS)
    with _memory._lock:
        # as where a reference cycle with a tensor in it is collected there
        del slab
        gc.collect()
    assert not _memory._free
    _memory.empty(LIKE, 3 * NUMBERS)
    assert len(_memory._free) == 2
