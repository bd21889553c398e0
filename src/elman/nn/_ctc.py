"""Decoding what connectionist temporal classification has learned."""

from __future__ import annotations

import math

from torch import Tensor

_NEVER = -math.inf


def ctc_greedy(log_p: Tensor, lengths: Tensor, *, blank: int = 0) -> list[tuple[int, ...]]:
    """The likeliest symbol of each step, repetitions merged, blanks taken out.

    Args:
        log_p: log-probabilities of the symbols, (T, B, V).
        lengths: (B,).
        blank: the symbol that stands for none.

    Returns:
        The symbols of each row.

    Reference:
        Graves et al. 2006, "Connectionist temporal classification", ICML.

    Example:
        >>> import torch
        >>> steps = torch.tensor([1, 1, 0, 1, 2, 2])
        >>> log_p = torch.nn.functional.one_hot(steps, 3)[:, None].float().log_softmax(-1)
        >>> ctc_greedy(log_p, torch.tensor([6]))
        [(1, 1, 2)]
    """
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
        lengths: (B,).
        width: beginnings that are kept at each step.
        blank: the symbol that stands for none.
        best: sequences to give for each row.

    Returns:
        For each row its sequences and their log-probabilities, best first.

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
    return [
        _search_row(log_p[:length, row], width, blank)[:best]
        for row, length in enumerate(lengths.tolist())
    ]


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
