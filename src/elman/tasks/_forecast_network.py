"""Many to many, ahead of time: the network of forecasters, its loss, and the futures it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.ops import dropout
from elman.train import Loss

from ._forecast_windows import Frame, WindowBatch, cut_into_windows, window_batch
from ._frames import follow
from ._inspect import ASKED, ROWS, Sample, asked
from ._options import ModelOptions, make_layers


class ForecastNetwork(nn.Module):
    r"""Reads a series and says quantiles of the next steps, from every step on.

    h(t) is the recurrent layers' output. The forecast for k steps ahead is

        z(t, k) = tanh(A h(t) + C u(t, k) + e(k))
        y(t+k) = y(t) + s(t) V z(t, k) + sum over lags l of (y(t+k-l) - y(t)) a_l z(t, k)

    with the spread s(t) of the series, what is known ahead u(t, k) (calendar, given covariates, the
    values a season and each lag before t+k relative to y(t)) and a vector e(k) for each distance. A
    network that says nothing is the persistence forecast.

    Args:
        options: of the recurrent layers.
        inputs: features of a step.
        ahead: features that are known ahead, of each step to come.
        steps: steps forecast at once, K.
        quantiles: quantiles of each.
        lags: how many of the features that are known ahead, the last ones, are values at lags.
    """

    def __init__(
        self,
        options: ModelOptions,
        inputs: int,
        ahead: int,
        *,
        steps: int,
        quantiles: int,
        lags: int,
    ) -> None:
        super().__init__()
        width = max(options.hidden_size // 2, 8)
        self.layers = make_layers(options, inputs)
        self.state = nn.Linear(options.hidden_size, width)
        self.ahead = nn.Linear(ahead, width, bias=False)
        self.distance = nn.Parameter(torch.randn(steps, width) * 0.1)
        self.head = nn.Linear(width, quantiles + lags)
        self.quantiles = quantiles
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.input_dropout, self.dropout = options.input_dropout, options.dropout

    def read(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The states (T, B, H) of padded windows (T, B, I)."""
        if self.training and self.input_dropout:
            # the same features are gone at every step of a sequence (Gal & Ghahramani 2016)
            x = x * dropout(torch.ones_like(x[:1]), self.input_dropout)
        return self.layers(x, lengths=lengths)[0]

    def say(self, states: Tensor, ahead: Tensor, last: Tensor, spread: Tensor) -> Tensor:
        """The quantiles (…, K, Q) from states (…, H), what is known ahead (…, K, F), and the last
        values and the spreads (…).
        """
        states = dropout(states, self.dropout, self.training)
        hidden = self.state(states)[..., None, :] + self.ahead(ahead) + self.distance
        said = self.head(torch.tanh(hidden))
        change, shares = said[..., : self.quantiles], said[..., self.quantiles :]
        lagged = ahead[..., ahead.shape[-1] - shares.shape[-1] :]
        change = change + (shares * lagged).sum(-1, keepdim=True)
        return last[..., None, None] + spread[..., None, None] * change


class Quantiles:
    """Trains a forecast network with the pinball loss (Koenker & Bassett 1978).

    Args:
        module: the network.
        quantiles: the levels.
    """

    def __init__(self, module: ForecastNetwork, quantiles: Sequence[float]) -> None:
        self.module, self.levels = module, torch.tensor(quantiles)

    def loss(self, batch: WindowBatch, carry: Any) -> Loss:
        """The mean pinball loss over origins, steps and quantiles, in the series' deviations, or in
        logarithms where those are forecast.
        """
        said = forecasts(self.module, batch)
        batch = WindowBatch(*(one.to(said.device) for one in batch))
        error = batch.truth[..., None] - said
        levels = self.levels.to(said.device)
        pinball = torch.maximum(levels * error, (levels - 1) * error).mean(-1)
        count = max(int((batch.weight > 0).sum()), 1)
        value = (pinball * batch.weight).sum() / count
        return Loss(value, float(count), None, int(batch.lengths.sum()))


def forecasts(module: ForecastNetwork, batch: WindowBatch) -> Tensor:
    """The quantiles (S, B, K, Q) that a network says from the origins of a batch."""
    device = module.head.weight.device
    states = module.read(batch.x.to(device), batch.lengths)
    picked = batch.places.to(device)[..., None].expand(-1, -1, states.shape[-1])
    known = (one.to(device) for one in (batch.ahead, batch.last, batch.spread))
    return module.say(states.gather(0, picked), *known)


def sample_of(
    module: Callable[[], ForecastNetwork],
    frames: Sequence[Frame],
    spans: Sequence[tuple[int, int]],
    *,
    context: int,
    steps: int,
    asks: bool,
) -> Sample:
    """Windows of one origin, spread over the spans, to look at a network's gradient with; `asks`
    for how far back their answer lies.
    """
    windows = cut_into_windows(spans, 1)
    windows = windows[:: max(len(windows) // ASKED, 1)][:ASKED]
    found = None
    if asks:
        batch = window_batch(frames, windows, context=context, steps=steps)
        change = (batch.truth - batch.last[..., None]) / batch.spread[..., None]
        found = asked(batch.x.numpy(), change[0].numpy(), batch.lengths.numpy())
    few = windows[:: max(len(windows) // ROWS, 1)][:ROWS]
    shown = window_batch(frames, few, context=context, steps=steps)
    return Sample(lambda: forecasts(module(), shown), found)


def sample_paths(
    module: ForecastNetwork,
    frame: Frame,
    origin: int,
    *,
    context: int,
    steps: int,
    levels: Sequence[float],
    paths: int,
    generator: torch.Generator,
) -> Any:
    """Futures (paths, K) drawn step by step, each fed its own past; in the series' scale."""
    device = module.head.weight.device
    begin = max(0, origin + 1 - context)
    x = torch.from_numpy(frame.inputs[begin : origin + 1])[:, None].to(device)
    output, hx = module.layers(x)
    hx = _repeat(hx, paths)
    state = output[-1].expand(paths, -1)
    past = torch.from_numpy(frame.y[max(0, origin + 1 - max(frame.lags)) : origin + 1]).to(device)
    history = past.expand(paths, -1)
    level = past.new_full((paths,), float(frame.level[origin]))
    spread = past.new_full((paths,), float(frame.spread[origin]))
    known = torch.from_numpy(frame.ahead).to(device)
    for k in range(1, steps + 1):
        last = history[:, -1]
        features = known[origin + k].expand(paths, -1)
        before = torch.stack([_before(history, lag) for lag in frame.lags], 1)
        ahead = torch.cat([features, (before - last[:, None]) / spread[:, None]], 1)
        said = module.say(state, ahead[:, None], last, spread)[:, 0]
        drawn = _draw(said.sort(-1).values, levels, generator)
        history = torch.cat([history, drawn[:, None]], 1)
        level, spread = follow(level, spread, drawn, frame.rate)
        seen = [(drawn - level) / spread, (drawn - last) / spread, torch.ones_like(drawn)]
        changes = (drawn[:, None] - before[:, 1:]) / spread[:, None]
        x = torch.cat([torch.stack(seen, -1), changes, features], -1)
        output, hx = module.layers(x[None], hx)
        state = output[0]
    return history[:, -steps:].cpu().numpy()


def _before(history: Tensor, lag: int) -> Tensor:
    """The value a lag before the next step; the last one where the series is too young."""
    return history[:, -lag if history.shape[1] >= lag else -1]


def _draw(said: Tensor, levels: Sequence[float], generator: torch.Generator) -> Tensor:
    """A number from each row's quantiles (B, Q), straight between and beyond them."""
    known = torch.tensor(levels, device=said.device)
    u = torch.rand(len(said), generator=generator).clamp(0.02, 0.98).to(said.device)
    right = torch.searchsorted(known, u).clamp(1, len(known) - 1)
    low, high = (said.gather(1, at[:, None])[:, 0] for at in (right - 1, right))
    part = (u - known[right - 1]) / (known[right] - known[right - 1])
    return low + part * (high - low)


def _repeat(hx: Any, rows: int) -> Any:
    if isinstance(hx, tuple):
        return tuple(_repeat(one, rows) for one in hx)
    return hx.repeat(1, rows, 1)
