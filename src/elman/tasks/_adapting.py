"""A language model that adapts to a text while it is measured on it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from elman.data import StreamWindows

from ._language_network import LanguageNetwork


@dataclass(frozen=True)
class Adaptation:
    r"""What a model may learn from the part of a text that it has read already.

    A cache remembers the layers' last outputs :math:`h_i` with the token :math:`x_{i+1}` that came
    behind each, and tells a token by those that came behind outputs like the present one:
    :math:`p = (1 - \lambda)\, p_\mathrm{model} + \lambda \sum_i \mathrm{softmax}_i(\theta\, h_t
    \cdot h_i)\, [x_{i+1} = x]`. Dynamic evaluation trains on each window after it was measured.

    Args:
        cache: tokens that are remembered; 0 for none.
        weight: λ, the cache's part of the probability.
        flatness: θ, how much nearer outputs count more.
        dynamic: learning rate of the steps between windows; 0 for none.

    Raises:
        ValueError: a number is out of its range.

    Reference:
        Grave, Joulin & Usunier 2017, https://arxiv.org/abs/1612.04426 (cache); Krause et al. 2018,
        https://arxiv.org/abs/1709.07432 (dynamic evaluation, with plain steps here).

    Example:
        >>> Adaptation(cache=500).weight
        0.1
    """

    cache: int = 0
    weight: float = 0.1
    flatness: float = 0.3
    dynamic: float = 0.0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("cache", 0, float("inf")),
            ("weight", 0, 1),
            ("flatness", 0, float("inf")),
            ("dynamic", 0, float("inf")),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                bound = f"{least} up to {most}" if most == 1 else f"{least} or more"
                raise ValueError(f"Adaptation: {name}={value!r}; give {bound}.")


def adapted_surprise(
    module: LanguageNetwork, windows: StreamWindows, adaptation: Adaptation
) -> tuple[float, int]:
    """The mean surprise of a stream's tokens in nats, and how many there are; each is told before
    it is learned from. The module stays as it was.
    """
    module = copy.deepcopy(module).eval()
    optimizer = torch.optim.SGD(module.parameters(), lr=adaptation.dynamic)
    memory = _Memory(adaptation)
    hx: Any = None
    total, count = 0.0, 0
    device = module.head.weight.device
    for window in windows.epoch(0):
        with torch.set_grad_enabled(adaptation.dynamic > 0):
            features, hx = module.features(window.input.to(device), hx, resets=window.resets)
            scores = module.scores(features)[:, 0]
        target = window.target[:, 0].to(device)
        with torch.no_grad():
            told = scores.log_softmax(-1).gather(1, target[:, None])[:, 0]
            total -= float(memory.mixed(told, features[:, 0].detach(), target).double().sum())
        count += len(target)
        if adaptation.dynamic > 0:
            optimizer.zero_grad()
            cross_entropy(scores, target).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        hx = tuple(one.detach() for one in hx) if isinstance(hx, tuple) else hx.detach()
    return total / count, count


class _Memory:
    """The last outputs, and the token behind each."""

    def __init__(self, adaptation: Adaptation) -> None:
        self.told = adaptation
        self.outputs: Tensor | None = None
        self.tokens: Tensor | None = None

    def mixed(self, log_p: Tensor, outputs: Tensor, tokens: Tensor) -> Tensor:
        """The log-probabilities (T,) of tokens, the cache's part mixed in; remembers them."""
        told = self.told
        if not told.cache:
            return log_p
        if self.outputs is not None and self.tokens is not None:
            outputs_before = torch.cat([self.outputs, outputs])
            tokens_before = torch.cat([self.tokens, tokens])
        else:
            outputs_before, tokens_before = outputs, tokens
        steps, known = len(outputs), len(outputs_before)
        # what stands at step t may be told by the `cache` outputs before it
        now = torch.arange(known - steps, known, device=outputs.device)[:, None]
        then = torch.arange(known, device=outputs.device)
        seen = (then < now) & (then >= now - told.cache)
        likeness = told.flatness * outputs @ outputs_before.T
        likeness = likeness.masked_fill(~seen, -torch.inf)
        parts = torch.where(seen.any(1, keepdim=True), likeness.softmax(-1), 0.0)
        cached = (parts * (tokens_before[None] == tokens[:, None])).sum(1)
        # nothing is remembered at the very start: the model alone tells
        weight = told.weight * seen.any(1)
        self.outputs, self.tokens = outputs_before[-told.cache :], tokens_before[-told.cache :]
        return torch.log((1 - weight) * log_p.exp() + weight * cached)
