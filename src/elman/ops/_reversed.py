"""Backwards in time, for backends that only run forwards."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from elman.kernels import Call, Watch, are_values_known

States = tuple[Tensor, ...]


def in_time(
    call: Call, run: Callable[[Call], tuple[list[Tensor], States]]
) -> tuple[list[Tensor], States]:
    """Runs a call with a backend that knows no direction, and whose pieces are cut on the CPU."""
    lengths = None if call.lengths is None else call.lengths.detach().to("cpu", torch.int64)
    resets = None if call.resets is None else call.resets.detach().to("cpu")
    known = are_values_known(call)
    if known and lengths is not None and bool((lengths == call.input.shape[0]).all()):
        lengths = None
    if known and resets is not None and not bool(resets.any()):
        resets = None
    call = replace(call, lengths=lengths, resets=resets)
    if not call.reverse:
        return run(call)
    back = replace(
        call,
        input=reverse_rows(call.input, lengths),
        resets=_reverse_resets(resets, lengths),
        reverse=False,
        watch=None if call.watch is None else _ReversedWatch(call.watch, lengths),
    )
    sequences, state = run(back)
    return [reverse_rows(sequence, lengths) for sequence in sequences], state


class _ReversedWatch:
    """Hands on what was seen of reversed rows, in the order of time."""

    def __init__(self, watch: Watch, lengths: Tensor | None) -> None:
        self._watch, self._lengths, self.vectors = watch, lengths, watch.vectors

    def seen(self, norms: Tensor, vectors: States | None) -> None:
        """Takes what was seen."""
        norms = norms.view(torch.float64).permute(1, 2, 0)
        back = reverse_rows(norms, self._lengths).permute(2, 0, 1)
        if vectors is not None:
            vectors = tuple(reverse_rows(one, self._lengths) for one in vectors)
        self._watch.seen(back, vectors)


def reverse_rows(sequence: Tensor, lengths: Tensor | None) -> Tensor:
    """Each row backwards from its own end, (T, B, ·); what lies behind the end stays in its
    place.
    """
    if lengths is None:
        return sequence.flip(0)
    index = _reversed_index(sequence.shape[0], lengths).to(sequence.device)
    return sequence.gather(0, index[:, :, None].expand_as(sequence))


def _reversed_index(steps: int, lengths: Tensor) -> Tensor:
    """(T, B): where step t of the reversed row stands in the row."""
    t = torch.arange(steps, device=lengths.device)[:, None]
    return torch.where(t < lengths, lengths - 1 - t, t)


def _reverse_resets(resets: Tensor | None, lengths: Tensor | None) -> Tensor | None:
    """Resets cut between two steps; read backwards the same cut lies before the other one."""
    if resets is None or resets.shape[0] == 0:
        return resets
    # a reset at t cuts before t; backwards it is met on the way from t to t - 1, so it is moved
    # there first
    moved = torch.cat([resets[1:], torch.zeros_like(resets[:1])])
    if lengths is not None:
        # a cut at a row's end has nothing behind it
        moved = moved & (torch.arange(1, len(moved) + 1, device=lengths.device)[:, None] < lengths)
    return reverse_rows(moved[:, :, None], lengths)[:, :, 0]
