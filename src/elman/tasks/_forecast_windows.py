"""Windows of series: what a forecaster's network reads, and what it is to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.data import pad


@dataclass
class Frame:
    """A series as the network sees it.

    Args:
        y: the target in its own scale, gaps filled, (T,).
        level: the running mean, (T,).
        spread: the running deviation, (T,).
        there: where the target was given, (T,).
        inputs: the features of every step, (T, I).
        ahead: what is known of every step ahead of time, (T or more, F).
        lags: the season and the further lags, in steps.
        mean: of the scale.
        std: of the scale.
        rate: at which level and spread follow the series; 0 where they stay.
        weight: of an error in the series' scale.
    """

    y: Any
    level: Any
    spread: Any
    there: Any
    inputs: Any
    ahead: Any
    lags: tuple[int, ...]
    mean: float
    std: float
    rate: float
    weight: float

    def seen_ahead(self, origins: Any, steps: int) -> Any:
        """What is known at origins (S,) of the next steps, (S, K, F + 1 + L): the features, and
        how far the values a season and each lag before them lie from the last one.
        """
        to = origins[:, None] + np.arange(1, steps + 1)
        before = lagged(origins, steps, self.lags)
        last, spread = self.y[origins], self.spread[origins]
        change = (self.y[before] - last[:, None, None]) / spread[:, None, None]
        return np.concatenate([self.ahead[to], change], -1)


def lagged(origins: Any, steps: int, lags: Sequence[int]) -> Any:
    """Where the newest values lie that are a multiple of each lag before the next steps of origins
    (S,), (S, K, L); the origin itself where the series is too young.

    Example:
        >>> lagged(np.array([2, 0]), 3, [2])[..., 0].tolist()
        [[1, 2, 1], [0, 0, 0]]
    """
    k, lag = np.arange(1, steps + 1)[:, None], np.array(lags)
    before = origins[:, None, None] + k - lag * -(-k // lag)
    return np.where(before < 0, origins[:, None, None], before)


class Window(NamedTuple):
    """Origins of one series to forecast from: start up to stop, not included."""

    frame: int
    start: int
    stop: int


class WindowBatch(NamedTuple):
    """Windows of B series in a batch with up to S origins each.

    Args:
        x: (T, B, I).
        lengths: (B,).
        places: of the origins in time, (S, B).
        ahead: (S, B, K, F).
        last: the values at the origins, (S, B).
        spread: the deviations at the origins, (S, B).
        truth: (S, B, K).
        weight: of an error, 0 where there is no truth, (S, B, K).
    """

    x: Tensor
    lengths: Tensor
    places: Tensor
    ahead: Tensor
    last: Tensor
    spread: Tensor
    truth: Tensor
    weight: Tensor


def window_batch(
    frames: Sequence[Frame], windows: Sequence[Window], *, context: int, steps: int
) -> WindowBatch:
    """Puts windows together; the network reads up to `context` steps to the last origin of each."""
    most = max(w.stop - w.start for w in windows)
    rows = len(windows)
    first = frames[windows[0].frame]
    width = first.ahead.shape[1] + len(first.lags)
    places = np.zeros((most, rows), dtype=np.int64)
    ahead = np.zeros((most, rows, steps, width), dtype=np.float32)
    last = np.zeros((most, rows), dtype=np.float32)
    spread = np.ones_like(last)
    truth = np.zeros((most, rows, steps), dtype=np.float32)
    weight = np.zeros_like(truth)
    inputs: list[Any] = []
    for b, (number, start, stop) in enumerate(windows):
        frame, begin = frames[number], max(0, stop - context)
        inputs.append(frame.inputs[begin:stop])
        origins, count = np.arange(start, stop), stop - start
        places[:count, b] = origins - begin
        ahead[:count, b] = frame.seen_ahead(origins, steps)
        last[:count, b], spread[:count, b] = frame.y[origins], frame.spread[origins]
        to = origins[:, None] + np.arange(1, steps + 1)
        inside = to < len(frame.y)
        to = np.where(inside, to, 0)
        truth[:count, b] = np.where(inside, frame.y[to], 0)
        weight[:count, b] = frame.weight * (inside & frame.there[to])
    x, lengths = pad(inputs)
    return WindowBatch(
        x, lengths, *(torch.from_numpy(a) for a in (places, ahead, last, spread, truth, weight))
    )


def cut_into_windows(spans: Sequence[tuple[int, int]], each: int) -> list[Window]:
    """Windows of up to so many origins that cover the spans, one span a series."""
    return [
        Window(number, at, min(at + each, stop))
        for number, (start, stop) in enumerate(spans)
        for at in range(start, stop, each)
    ]


class ForecastWindows:
    """The windows of an epoch: every origin about once, cut in other places each time.

    Args:
        frames: the series.
        stops: up to where each is learned from.
        context: steps that are read.
        steps: steps that are forecast.
        batch_size: windows in a batch.
        seed: of the order and the cuts.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        stops: Sequence[int],
        *,
        context: int,
        steps: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.frames, self.context, self.steps = frames, context, steps
        self.batch_size, self.seed = batch_size, seed
        self.each = max(context // 2, 1)
        # the last origin's forecast ends before the stop
        self.origins = [stop - steps for stop in stops]
        self.slots = [
            (number, place)
            for number, count in enumerate(self.origins)
            for place in range(-(-count // self.each))
        ]

    def __len__(self) -> int:
        return -(-len(self.slots) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Any:
        """The batches of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        shifts = rng.integers(0, self.each, len(self.frames))
        order = rng.permutation(len(self.slots))
        for first in range(start * self.batch_size, len(order), self.batch_size):
            chosen = (self.slots[i] for i in order[first : first + self.batch_size])
            windows = [self._window(number, place, shifts) for number, place in chosen]
            yield window_batch(self.frames, windows, context=self.context, steps=self.steps)

    def _window(self, number: int, place: int, shifts: Any) -> Window:
        count = self.origins[number]
        stop = min(max((place + 1) * self.each - int(shifts[number]), 1), count)
        return Window(number, max(stop - self.each, 0), stop)
