"""Decoding what connectionist temporal classification has learned."""

from __future__ import annotations

import math

from torch import Tensor

from elman.ops import is_integer

from ._check import check_tensor
from ._lengths import check_lengths

_NEVER = -math.inf


def ctc_greedy(log_p: Tensor, lengths: Tensor, *, blank: int = 0) -> list[tuple[int, ...]]:
    """The likeliest symbol of each step, repetitions merged, blanks taken out.

    Args:
        log_p: log-probabilities of the symbols, (T, B, V).
        lengths: (B,) from 0 to T.
        blank: the symbol that stands for none.

    Returns:
        The symbols of each row; none for a row without steps.

    Raises:
        TypeError: log_p is no tensor, blank no int, or lengths are no whole numbers.
        ValueError: lengths are not one from 0 to T for each row, or blank is no symbol.

    Reference:
        Graves et al. 2006, "Connectionist temporal classification", ICML.

    Example:
        >>> import torch
        >>> steps = torch.tensor([1, 1, 0, 1, 2, 2])
        >>> log_p = torch.nn.functional.one_hot(steps, 3)[:, None].float().log_softmax(-1)
        >>> ctc_greedy(log_p, torch.tensor([6]))
        [(1, 1, 2)]
    """
    lengths = _check("ctc_greedy", log_p, lengths, blank)
    likeliest = log_p.argmax(-1).T.tolist()
    found: list[tuple[int, ...]] = []
    for steps, length in zip(likeliest, lengths.tolist(), strict=True):
        steps = steps[:length]
        starts = [s for i, s in enumerate(steps) if i == 0 or s != steps[i - 1]]
        found.append(tuple(s for s in starts if s != blank))
    return found


def ctc_beam(
    log_p: Tensor, lengths: Tensor, *, width: int = 16, blank: int = 0, best: int = 1
) -> list[list[tuple[tuple[int, ...], float]]]:
    """The likeliest sequences of symbols, each with the log-probability of all its alignments that
    were kept.

    Args:
        log_p: log-probabilities of the symbols, (T, B, V).
        lengths: (B,) from 0 to T.
        width: beginnings that are kept at each step.
        blank: the symbol that stands for none.
        best: sequences to give for each row.

    Returns:
        For each row its sequences and their log-probabilities, best first; for one without steps
        the empty sequence alone, which is certain.

    Raises:
        TypeError: as `ctc_greedy`.
        ValueError: as `ctc_greedy`, or more sequences than places are asked for.

    Reference:
        Hannun et al. 2014, https://arxiv.org/abs/1408.2873, algorithm 1.

    Example:
        >>> import torch
        >>> log_p = torch.tensor([[[0.6, 0.4]], [[0.6, 0.4]]]).log()
        >>> ctc_beam(log_p, torch.tensor([2]))[0][0][0]  # 0.64 together; the best path is empty
        (1,)
    """
    if width < best or best < 1:
        raise ValueError(f"ctc_beam: best={best} of width={width}; give 1 up to the width.")
    lengths = _check("ctc_beam", log_p, lengths, blank)
    return [
        _search_row(log_p[:length, row], width, blank)[:best]
        for row, length in enumerate(lengths.tolist())
    ]


def _check(where: str, log_p: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """The lengths as whole numbers; raises for what cannot be decoded."""
    check_tensor(where, "log_p", log_p)
    if log_p.dim() != 3:
        raise ValueError(f"{where}: log_p has shape {tuple(log_p.shape)}, expected (T, B, V).")
    symbols = log_p.shape[2]
    if not is_integer(blank):
        raise TypeError(f"{where}: blank={blank!r} is no int; give 0 to {symbols - 1}.")
    if not 0 <= blank < symbols:
        raise ValueError(
            f"{where}: blank={blank} is none of the {symbols} symbols of log_p; give 0 to"
            f" {symbols - 1}."
        )
    return check_lengths(where, lengths, log_p, "log_p")


def _search_row(log_p: Tensor, width: int, blank: int) -> list[tuple[tuple[int, ...], float]]:
    """The prefixes of one row (T, V)."""
    # of each prefix, the alignments that end in a blank and those that end in its last symbol
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, _NEVER)}
    likely = min(width + 1, log_p.shape[1])
    for step in log_p.double().cpu():
        chances, symbols = step.topk(likely)
        near = dict(zip(symbols.tolist(), chances.tolist(), strict=True))
        near[blank] = float(step[blank])
        for prefix in beams:
            if prefix:
                near[prefix[-1]] = float(step[prefix[-1]])
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (in_blank, in_symbol) in beams.items():
            whole = _add(in_blank, in_symbol)
            _gain(grown, prefix, near[blank] + whole, _NEVER)
            if prefix:
                _gain(grown, prefix, _NEVER, near[prefix[-1]] + in_symbol)
            for symbol, chance in near.items():
                if symbol != blank:
                    # a symbol that repeats the last one begins anew only behind a blank
                    before = in_blank if prefix[-1:] == (symbol,) else whole
                    _gain(grown, (*prefix, symbol), _NEVER, chance + before)
        ranked = sorted(grown.items(), key=lambda one: _add(*one[1]), reverse=True)
        beams = dict(ranked[:width])
    found = [(prefix, _add(*p)) for prefix, p in beams.items()]
    return sorted(found, key=lambda one: one[1], reverse=True)


def _gain(
    beams: dict[tuple[int, ...], tuple[float, float]],
    prefix: tuple[int, ...],
    in_blank: float,
    in_symbol: float,
) -> None:
    before = beams.get(prefix, (_NEVER, _NEVER))
    beams[prefix] = _add(before[0], in_blank), _add(before[1], in_symbol)


def _add(a: float, b: float) -> float:
    """log(e^a + e^b)."""
    high, low = (a, b) if a > b else (b, a)
    return high if low == _NEVER else high + math.log1p(math.exp(low - high))
