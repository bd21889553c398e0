"""Ragged sequences as dense pieces: cut where a row ends or resets, run each piece over the rows
that still live.

A finished row costs nothing, and what lies behind its end is never read, so it can reach neither a
value nor a gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import pad

from ._call import Call
from .inside_torch import is_plain, is_tracing

States = tuple[Tensor, ...]
Run = Callable[[Tensor, States], tuple[list[Tensor], States]]
"""Runs a dense piece (t, b, I) from a state: every sequence that is wanted of it, each (t, b, ·),
and the state after."""


def are_values_known(call: Call) -> bool:
    """Whether lengths and resets can be looked at: not while compiling or recording, nor of fake
    tensors.
    """
    if torch.compiler.is_compiling() or is_tracing():
        return False
    return all(t is None or is_plain(t) for t in (call.lengths, call.resets))


@dataclass(frozen=True)
class _Piece:
    start: int
    stop: int
    rows: int
    reset: Tensor | None


def _pieces(steps: int, lengths: Sequence[int], resets: Tensor | None) -> list[_Piece]:
    """The pieces of rows sorted by falling length: the first `rows` of them live in each."""
    cuts = {0, steps, *lengths}
    marked: set[int] = set()
    if resets is not None:
        marked = set(resets.any(1).nonzero().flatten().tolist())
        cuts |= marked
    bounds = sorted(cut for cut in cuts if cut <= max(lengths, default=0))
    return [
        _Piece(
            start,
            stop,
            sum(length > start for length in lengths),
            resets[start] if resets is not None and start in marked else None,
        )
        for start, stop in pairwise(bounds)
    ]


def _inputs(input: Tensor, pieces: Sequence[_Piece]) -> Sequence[Tensor]:
    """The steps of each piece; split at once, as a slice's gradient is as long as the input."""
    behind = len(input) - (pieces[-1].stop if pieces else 0)
    return input.split([*(piece.stop - piece.start for piece in pieces), behind])[:-1]


def _reset(state: States, initial: States | None, rows: Tensor) -> States:
    """The state with the marked rows set to the initial state."""
    mark = rows.to(state[0].device)[:, None]
    if initial is None:
        return tuple(s.masked_fill(mark, 0) for s in state)
    return tuple(torch.where(mark, i.to(s.dtype), s) for s, i in zip(state, initial, strict=True))


def scan_pieces(call: Call, run: Run) -> tuple[list[Tensor], States]:
    """Runs `run` over a call with lengths and resets.

    Returns:
        The sequences, each (T, B, ·) and zero behind a row's end, and each row's own last state.
    """
    steps, batch = call.input.shape[:2]
    if call.lengths is None and call.resets is None:
        return run(call.input, call.first_state())
    lengths = call.lengths
    if lengths is None:
        lengths = torch.full((batch,), steps, device="cpu")
    order = torch.argsort(lengths, descending=True, stable=True)
    is_sorted = bool((order == torch.arange(batch, device=order.device)).all())
    input, state, resets = call.input, call.first_state(), call.resets
    if not is_sorted:
        on_device = order.to(input.device)
        input = input.index_select(1, on_device)
        state = tuple(s.index_select(0, on_device) for s in state)
        resets = None if resets is None else resets.index_select(1, order)

    parts: list[list[Tensor]] = []
    finished: list[States] = []
    living = batch
    pieces = _pieces(steps, lengths[order].tolist(), resets)
    for piece, part in zip(pieces, _inputs(input, pieces), strict=True):
        if piece.rows < living:
            finished.append(tuple(s[piece.rows :] for s in state))
            state = tuple(s[: piece.rows] for s in state)
            living = piece.rows
        if piece.reset is not None:
            state = _reset(state, call.initial, piece.reset[:living])
        sequences, state = run(part[:, :living], state)
        parts.append([pad(s, (0, 0, 0, batch - living)) for s in sequences])
    finished.append(state)

    final = tuple(torch.cat(rows) for rows in zip(*reversed(finished), strict=True))
    if not parts:
        # no row has a step; the empty sum keeps the input in the graph, with a gradient of zero
        parts = [[s + input[:0].sum() for s in run(input[:0], state)[0]]]
    whole = _join(parts, steps)
    if not is_sorted:
        back = torch.argsort(order).to(input.device)
        whole = [s.index_select(1, back) for s in whole]
        final = tuple(s.index_select(0, back) for s in final)
    return whole, final


def _join(parts: list[list[Tensor]], steps: int) -> list[Tensor]:
    """The pieces one behind the other, with zeros up to T."""
    whole = [torch.cat(one) for one in zip(*parts, strict=True)]
    return [pad(s, (0, 0, 0, 0, 0, steps - s.shape[0])) for s in whole]
