"""Decoding: sequences of tokens from a model that tells the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from elman.ops import is_number, is_whole

# scores that are divided by less, or by more, have no number of 32 bits
_COLDEST, _HOTTEST = 1e-6, 1e6


class Selectable(Protocol):
    """The state of a model for a batch of rows."""

    def select(self, rows: Tensor) -> Self:
        """The rows with these numbers; a row may come more than once."""
        ...


Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""A model: the tokens (N,) told last and a state in; log-probabilities (N, V) and a state out."""


@dataclass(frozen=True)
class Hypothesis:
    """A sequence that a model wrote.

    Args:
        tokens: without the start and the end.
        log_probability: of the tokens, and of the end where it was reached.
        score: what hypotheses are ranked by: the log-probability over the length's penalty.
        finished: whether the end was reached.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    finished: bool


def draw(
    scores: Tensor,
    *,
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draws a token for each row; temperature 0 takes the likeliest.

    Args:
        scores: (N, V), unnormalised log-probabilities.
        temperature: what the scores are divided by.
        top_k: how many of the likeliest tokens may be drawn.
        top_p: the smallest set of the likeliest tokens with this probability together may be drawn.
        generator: where the chance comes from.

    Returns:
        (N,).

    Raises:
        ValueError: an option lies outside its range.

    Reference:
        Holtzman et al. 2020, "The curious case of neural text degeneration", ICLR (top-p).

    Example:
        >>> import torch
        >>> draw(torch.tensor([[0.1, 2.0, 0.3]]), temperature=0).tolist()
        [1]
    """
    check_drawing("draw", temperature, top_k, top_p)
    if temperature == 0:
        return scores.argmax(-1)
    scores, order = (scores / temperature).sort(descending=True, stable=True)
    if top_k is not None:
        scores[:, top_k:] = -torch.inf
    if top_p is not None:
        p = scores.softmax(-1)
        # a token stays while those before it have less than top_p together; the first always does
        scores[(p.cumsum(-1) - p) >= top_p] = -torch.inf
    drawn = torch.multinomial(scores.softmax(-1), 1, generator=generator)
    return order.gather(-1, drawn)[:, 0]


def check_drawing(
    where: str, temperature: float, top_k: int | None = None, top_p: float | None = None
) -> None:
    """Refuses options that nothing can be drawn with.

    Raises:
        ValueError: one lies outside its range; the text starts with `where`.

    Example:
        >>> check_drawing("draw", 0.8, top_k=0)
        Traceback (most recent call last):
        ValueError: draw: top_k=0; give a whole number above zero, or None.
    """
    if not is_number(temperature) or not 0 <= temperature < float("inf"):
        raise ValueError(f"{where}: temperature={temperature!r}; give a number from 0 on.")
    if temperature and not _COLDEST <= temperature <= _HOTTEST:
        raise ValueError(
            f"{where}: temperature={temperature!r}; give 0, or {_COLDEST:g} up to {_HOTTEST:g}."
        )
    if top_k is not None and not is_whole(top_k):
        raise ValueError(f"{where}: top_k={top_k!r}; give a whole number above zero, or None.")
    if top_p is not None and not (is_number(top_p) and 0 < top_p <= 1):
        raise ValueError(f"{where}: top_p={top_p!r}; give a number above 0 and up to 1, or None.")


@torch.no_grad()
def sample_sequences(
    step: Step,
    state: Selectable,
    *,
    rows: int,
    start: int,
    end: int,
    steps: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> list[Hypothesis]:
    """Writes one sequence for each row, token by token, until its end or for so many steps.

    Rows that have ended leave the batch.

    Args:
        step: the model.
        state: its state before the first token, of all rows.
        rows: N.
        start: the token that every sequence begins behind.
        end: the token that ends one.
        steps: tokens at most.
        temperature: as for `draw`; 0 takes the likeliest token each time (greedy).
        top_k: as for `draw`.
        top_p: as for `draw`.
        generator: as for `draw`.
    """
    tokens: list[list[int]] = [[] for _ in range(rows)]
    total, finished = [0.0] * rows, [False] * rows
    alive, last = list(range(rows)), torch.full((rows,), start)
    for _ in range(steps):
        if not alive:
            break
        log_p, state = step(last, state)
        last = draw(log_p, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
        gained = log_p.gather(-1, last[:, None])[:, 0].tolist()
        for row, token, more in zip(alive, last.tolist(), gained, strict=True):
            total[row] += more
            if token == end:
                finished[row] = True
            else:
                tokens[row].append(token)
        kept = (last != end).nonzero()[:, 0]
        if len(kept) < len(alive):
            alive = [alive[i] for i in kept.tolist()]
            last, state = last[kept], state.select(kept)
    found = zip(tokens, total, finished, strict=True)
    return [Hypothesis(tuple(one), p, p, ended) for one, p, ended in found]


def length_penalty(length: int | Tensor, alpha: float) -> Any:
    """What the log-probability of so many tokens, the end among them, is divided by:
    ((5 + n) / 6) ** alpha.

    Reference:
        Wu et al. 2016, https://arxiv.org/abs/1609.08144, equation 14.
    """
    return ((5 + length) / 6) ** alpha


@torch.no_grad()
def beam_search(
    step: Step,
    state: Selectable,
    *,
    rows: int,
    start: int,
    end: int,
    steps: int,
    width: int = 5,
    alpha: float = 0.0,
    best: int = 1,
) -> list[list[Hypothesis]]:
    """Looks for the likeliest sequences of each row, keeping the `width` likeliest beginnings.

    A hypothesis that ends takes up one of the `width` places, so width 1 is greedy. A row leaves
    the batch when all its places are taken or no beginning can become better than what it has.

    Args:
        step: the model.
        state: its state before the first token, of all rows.
        rows: N.
        start: the token that every sequence begins behind.
        end: the token that ends one.
        steps: tokens at most; a row where none ended gives unfinished ones.
        width: beginnings that are kept.
        alpha: exponent of `length_penalty`; 0 for none.
        best: hypotheses to give for each row, `width` at most.

    Returns:
        For each row its hypotheses, best first: fewer than `best` where some, but not so many,
        ended in time.

    Raises:
        ValueError: more hypotheses than places are asked for.

    Example:
        >>> import torch
        >>> class Nothing:
        ...     def select(self, rows): return self
        >>> table = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]).log()
        >>> (found,) = beam_search(
        ...     lambda tokens, state: (table[tokens], state), Nothing(),
        ...     rows=1, start=0, end=2, steps=4, width=3,
        ... )
        >>> found[0].tokens, round(found[0].log_probability, 3)
        ((1,), -1.561)
    """
    if not 1 <= best <= width:
        raise ValueError(f"beam_search: best={best} of width={width}; give 1 up to the width.")
    search = _Search(rows, start, end, width, alpha, best, steps)
    state = state.select(torch.arange(rows).repeat_interleave(width))
    for length in range(1, steps + 1):
        if not search.alive:
            break
        log_p, state = step(search.last, state)
        kept = search.advance(log_p, length)
        state = state.select(kept)
    return search.results()


class _Search:
    """The beginnings and the hypotheses of each row that is still looked at."""

    def __init__(
        self, rows: int, start: int, end: int, width: int, alpha: float, best: int, steps: int
    ) -> None:
        self.start, self.end, self.width = start, end, width
        self.alpha, self.best, self.steps = alpha, best, steps
        self.alive = list(range(rows))
        self.found: list[list[Hypothesis]] = [[] for _ in range(rows)]
        self.tokens = torch.zeros(rows, width, 0, dtype=torch.long)
        # one beginning at first: the others are as if they could not be
        self.scores = torch.full((rows, width), -torch.inf, dtype=torch.double)
        self.scores[:, 0] = 0
        self.last = torch.full((rows * width,), start)

    def advance(self, log_p: Tensor, length: int) -> Tensor:
        """Makes every beginning longer by a token; gives the numbers of those that it keeps."""
        count, tokens = len(self.alive), log_p.shape[-1]
        total = self.scores[:, :, None] + log_p.double().cpu().view(count, self.width, tokens)
        scores, chosen = total.flatten(1).topk(min(self.width, self.width * tokens))
        if scores.shape[1] < self.width:
            missing = self.width - scores.shape[1]
            scores = torch.cat([scores, scores.new_full((count, missing), -torch.inf)], 1)
            chosen = torch.cat([chosen, chosen.new_zeros(count, missing)], 1)
        parents, token = chosen // tokens, chosen % tokens
        before = self.tokens.gather(1, parents[:, :, None].expand(-1, -1, length - 1))
        self.tokens = torch.cat([before, token[:, :, None]], -1)
        self.scores = scores
        for i, row in enumerate(self.alive):
            # places that ended hypotheses have taken up
            self.scores[i, self.width - len(self.found[row]) :] = -torch.inf
        self._collect(token, length)
        stays = [i for i, row in enumerate(self.alive) if self._goes_on(i, row, length)]
        kept = (torch.arange(count)[:, None] * self.width + parents)[stays]
        self.alive = [self.alive[i] for i in stays]
        self.tokens, self.scores = self.tokens[stays], self.scores[stays]
        # places that are taken read what any model knows
        live = self.scores > -torch.inf
        self.last = torch.where(live, token[stays], self.start).flatten()
        return kept.flatten()

    def _collect(self, token: Tensor, length: int) -> None:
        ended = (token == self.end) & (self.scores > -torch.inf)
        for i, place in ended.nonzero().tolist():
            self.found[self.alive[i]].append(self._hypothesis(i, place, length, finished=True))
        self.scores[ended] = -torch.inf

    def _hypothesis(self, i: int, place: int, length: int, *, finished: bool) -> Hypothesis:
        tokens = self.tokens[i, place].tolist()
        log_p = float(self.scores[i, place])
        score = log_p / length_penalty(length, self.alpha)
        return Hypothesis(tuple(tokens[:-1] if finished else tokens), log_p, score, finished)

    def _goes_on(self, i: int, row: int, length: int) -> bool:
        most = float(self.scores[i].max())
        if most == -torch.inf or length == self.steps:
            if not self.found[row]:
                live = (self.scores[i] > -torch.inf).nonzero()[:, 0].tolist()
                self.found[row] = [self._hypothesis(i, p, length, finished=False) for p in live]
            return False
        known = sorted((one.score for one in self.found[row]), reverse=True)
        if len(known) < self.best:
            return True
        # more tokens only take away from a log-probability; the longest has the mildest penalty
        longest = self.steps if self.alpha > 0 else length + 1
        return most / length_penalty(longest, self.alpha) > known[self.best - 1]

    def results(self) -> list[list[Hypothesis]]:
        """The best hypotheses of each row."""
        return [
            sorted(found, key=lambda one: one.score, reverse=True)[: self.best]
            for found in self.found
        ]
