"""How far back data needs a memory, asked of the data alone.

What a model cannot use it cannot show, so no model is asked: the newest K steps are summed up in a
few features, for growing K, and a linear reader tells the target from them. Where its gain stops is
how far back the answer lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# of the whole gain that the newest steps must give
_ENOUGH = 0.95
# a smaller gain is nothing
_LEAST = 0.02
_FOLDS, _FEATURES = 5, 8
# of the last bits: a lag that tells less than this part of the most telling one
_FAINT = 0.05


@dataclass(frozen=True)
class Need:
    """How far back the answer lies.

    Args:
        lag: so many steps before the end are needed; None where the data gave no sign of any.
        unit: what the gains are: "R²", "accuracy" or "bits".
        lags: the lags that were tried.
        gains: what the steps up to each lag tell; of tokens, what the one at the lag itself tells.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(16, 300, 1))
        >>> need(x, x[4, :, 0]).lag in range(11, 16)
        True
    """

    lag: int | None
    unit: str
    lags: tuple[int, ...]
    gains: tuple[float, ...]


def need(inputs: Any, targets: Any, *, lengths: Any = None, seed: int = 0) -> Need:
    """Measures how far back the input matters for a target at the sequences' ends.

    Features of the newest steps: the sums of each input and of each product of two over blocks of
    steps that double in size with their lag. A ridge regression, or a linear classifier, is fitted
    to the features of the newest K steps and judged by cross-validation.

    Args:
        inputs: (T, B, I) numbers.
        targets: (B,) or (B, O) numbers, or (B,) integers or strings, which are classes.
        lengths: (B,), or None where every sequence has T steps.
        seed: of the folds.

    Raises:
        ValueError: there are fewer than 20 sequences, not a target for each, or numbers that are
            not finite.
    """
    x, y = np.asarray(inputs, dtype=float), np.asarray(targets)
    if x.ndim != 3 or x.shape[1] != len(y) or len(y) < 4 * _FOLDS:
        raise ValueError(
            f"need: inputs of shape {x.shape} and {len(y)} targets; give (T, B, I) and a target for"
            f" each of the B sequences, at least {4 * _FOLDS} of them."
        )
    by_lag = _from_the_end(x, lengths)
    if not np.isfinite(by_lag).all():
        raise ValueError("need: an input is NaN or infinite; fill it in, or drop its sequence.")
    y, classes = _read_targets(y)
    blocks = _blocks(by_lag)
    if not y.size:
        # a target that is always the same asks for no step
        return Need(None, "R²", tuple(end for end, _ in blocks), (0.0,) * len(blocks))
    scores = [
        _score(np.concatenate([f for _, f in blocks[: n + 1]], 1), y, classes, seed)
        for n in range(len(blocks))
    ]
    lags, gains = [end for end, _ in blocks], [mean for mean, _ in scores]
    base = float(np.bincount(y).max() / len(y)) if classes else 0.0
    best, error = max(scores)
    lag = None
    if best - base >= max(_LEAST, 2 * error):
        # the shortest that is as good as the best one, but for what chance does (the rule of one
        # standard error: Breiman et al. 1984)
        enough = min(base + _ENOUGH * (best - base), best - error)
        lag = next(end for end, gain in zip(lags, gains, strict=True) if gain >= enough)
    return Need(lag, "accuracy" if classes else "R²", tuple(lags), tuple(gains))


def need_of_tokens(tokens: Any, targets: Any, *, most: int, seed: int = 0) -> Need:
    """Measures how far back a token tells something of a target at the same step.

    The mutual information of the target and the token so many steps before, in bits, less what
    shuffled targets give (which is the bias of counting).

    Args:
        tokens: (T, B) integers.
        targets: (T, B) integers; negative where there is none.
        most: the largest lag.
        seed: of the shuffling.
    """
    x, y = np.asarray(tokens), np.asarray(targets)
    random = np.random.default_rng(seed)
    lags = [lag for lag in _spread(most) if lag < len(x)]
    gains: list[float] = []
    for lag in lags:
        a, b = x[: len(x) - lag].ravel(), y[lag:].ravel()
        a, b = a[b >= 0], b[b >= 0]
        gains.append(_information(a, b) - _information(a, random.permutation(b)) if len(b) else 0.0)
    top = max(gains, default=0.0)
    telling = [lag for lag, gain in zip(lags, gains, strict=True) if gain > max(_FAINT * top, 1e-3)]
    return Need(max(telling, default=None), "bits", tuple(lags), tuple(gains))


def _read_targets(y: Any) -> tuple[Any, bool]:
    """The targets as class numbers from 0 on, or as floats without the columns that are constant;
    and whether they are classes.
    """
    if np.issubdtype(y.dtype, np.integer) or all(isinstance(one, str) for one in y.ravel()):
        if y.ndim != 1:
            raise ValueError(f"need: classes of shape {y.shape}; give one for each sequence, (B,).")
        return np.unique(y, return_inverse=True)[1], True
    try:
        y = y.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"need: targets of type {y.dtype} are neither numbers nor strings; give one kind."
        ) from error
    if y.ndim > 2 or not np.isfinite(y).all():
        wrong = f"of shape {y.shape}" if y.ndim > 2 else "that are NaN or infinite"
        raise ValueError(f"need: targets {wrong}; give finite numbers, (B,) or (B, O).")
    constant = (y == y[:1]).all(0)
    if y.ndim == 2:
        return y[:, ~constant], False
    return y[:0] if constant else y, False


def _spread(most: int) -> list[int]:
    """All small lags, and ever fewer large ones."""
    return sorted(
        {*range(min(most, 64) + 1), *np.geomspace(1, max(most, 1), 64).astype(int).tolist()}
    )


def _information(a: Any, b: Any) -> float:
    """The mutual information of two columns of integers, in bits, as counted."""
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1.0)
    joint /= joint.sum()
    alone = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log2(joint[there] / alone[there])).sum())


def _from_the_end(x: Any, lengths: Any) -> Any:
    """The steps by lag, (K, B, I), zeros where a sequence is shorter."""
    steps, rows, _ = x.shape
    ends = np.full(rows, steps) if lengths is None else np.asarray(lengths)
    time = ends[None] - 1 - np.arange(steps)[:, None]
    found = x[np.maximum(time, 0), np.arange(rows)[None]]
    return np.where((time >= 0)[:, :, None], found, 0.0)


def _blocks(by_lag: Any) -> list[tuple[int, Any]]:
    """The last lag and the features (B, F) of each block of steps."""
    steps, _, features = by_lag.shape
    few = by_lag[:, :, :_FEATURES]
    left, right = np.triu_indices(few.shape[2])
    made: list[tuple[int, Any]] = []
    start = 0
    while start < steps:
        # blocks grow by a quarter, so that the answer is as sharp
        stop = min(steps, start + max(1, start // 4))
        x, products = by_lag[start:stop], few[start:stop]
        sums = [x.sum(0), (products[:, :, left] * products[:, :, right]).sum(0)]
        made.append((stop - 1, np.concatenate(sums, 1)))
        start = stop
    del features
    return made


def _score(features: Any, y: Any, classes: bool, seed: int) -> tuple[float, float]:
    """What a linear reader of the features gains, by cross-validation, and its standard error."""
    from sklearn.linear_model import RidgeClassifier, RidgeCV
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    reader: Any = RidgeClassifier() if classes else RidgeCV(alphas=np.logspace(-3, 3, 7))
    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    scoring = "accuracy" if classes else "r2"
    whole = make_pipeline(StandardScaler(), reader)
    found = cross_val_score(whole, features, y, cv=folds, scoring=scoring)
    return float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(_FOLDS))
