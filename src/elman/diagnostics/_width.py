"""In how many directions a gradient arrives far back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elman.ops import is_integer

from ._flow import Place, watch
from ._probe import Ends, evaluating, learning, time_at
from ._reach import GONE

# the most directions of the final state that are sent back
_MOST = 256


def width(model: nn.Module, *args: Any, lag: int, seed: int = 0, **kwargs: Any) -> int | None:
    r"""In how many directions of the state a gradient arrives a number of steps back.

    One direction is enough to carry one number; what has to carry many at once needs as many. The
    singular values of :math:`\partial h_T / \partial s_{T-k}` that are at least 1 % of the largest
    one at lag 0 are counted, in the layer where they are most; the median over the sequences that
    are long enough.

    Args:
        model: a module with layers of `elman.nn`, or such a layer.
        args: what it is called with, sequences held out from training.
        lag: k, steps before each sequence's end.
        seed: of the directions, where the final state has more than 256.
        kwargs: what else the model is called with.

    Returns:
        The number of directions; None where no sequence is so long.

    Raises:
        ValueError: as `probe`, or the lag is below zero.

    Example:
        >>> import torch, elman
        >>> rnn = elman.nn.RNN(1, 8, bias=False)
        >>> with torch.no_grad():
        ...     _ = rnn.weight_hh_l0.copy_(torch.diag(torch.tensor([1.0] * 3 + [0.1] * 5)))
        >>> width(rnn, torch.zeros(30, 4, 1), lag=20)
        3
    """
    return width_run(model, partial(model, *args, **kwargs), lag, seed=seed)


def width_run(model: nn.Module, run: Callable[[], Any], lag: int, *, seed: int = 0) -> int | None:
    """As `width`, with the model's call spelled out: `run()` calls it."""
    if not is_integer(lag) or lag < 0:
        raise ValueError(f"width: lag={lag!r}; give steps before the end, 0 or more.")
    parameters = learning(model, "width")
    there: dict[Place, list[Any]] = {}
    here: dict[Place, list[Any]] = {}
    with evaluating(model), watch(model, vectors=True) as flow, Ends(model) as ends:
        with torch.enable_grad():
            run()
        for direction in _directions(ends.final, seed):
            value = (ends.final * direction).sum()
            torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
            for place, seen in flow.last.items():
                assert seen.vectors is not None
                whole = ends.as_given(place.module, torch.cat([*seen.vectors.values()], -1))
                lengths = ends.lengths[place.module]
                there.setdefault(place, []).append(_at_lag(whole, lag, lengths, place.direction))
                here.setdefault(place, []).append(_at_lag(whole, 0, lengths, place.direction))
    counts = [_counted(torch.stack(there[p], 1), torch.stack(here[p], 1)) for p in there]
    known = [one for one in counts if one is not None]
    return max(known, default=None)


def _directions(final: Tensor, seed: int) -> list[Tensor]:
    """Directions (D, 1, H) of final states (D, B, H), at right angles: all of them, or so many by
    chance, long enough to stand for all.
    """
    size = final.shape[0] * final.shape[2]
    basis = torch.eye(size, dtype=torch.float64)
    if size > _MOST:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(size, _MOST, generator=generator, dtype=torch.float64)
        basis = torch.linalg.qr(drawn)[0].T * (size / _MOST) ** 0.5
    return [*basis.to(final).reshape(-1, final.shape[0], 1, final.shape[2])]


def _at_lag(vectors: Tensor, lag: int, lengths: Any, direction: int) -> Tensor:
    """The vectors (B, S) of (T, B, S) so many steps before each row's end; NaN where it is
    shorter.
    """
    steps, rows, _ = vectors.shape
    time, there = map(torch.from_numpy, time_at(lag, steps, rows, lengths, direction))
    found = vectors[time, torch.arange(rows)]
    return found.double().cpu().masked_fill(~there[:, None], float("nan"))


def _counted(there: Tensor, here: Tensor) -> int | None:
    """The median number of directions over the rows of (B, N, S), beside those of lag 0."""
    known = ~there.isnan().any(2).any(1)
    if not known.any():
        return None
    largest = torch.linalg.matrix_norm(here[known], 2)
    values = torch.linalg.svdvals(there[known])
    return int(np.median((values >= GONE * largest[:, None]).sum(1).numpy()))
