"""Counting models of the next token, to measure a language model against."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence


class NGram:
    r"""Interpolated n-grams with absolute discounting.

    .. math::
        p(w | u) = \frac{\max(c(u w) - d, 0)}{c(u)} + \frac{d \, n(u)}{c(u)} \, p(w | u')

    where n(u) counts the different tokens that followed u, u' is u without its first token, and
    the empty context falls back to the uniform distribution.

    Args:
        order: 1 for unigrams, 3 for trigrams.
        tokens: size of the vocabulary.
        discount: d.

    Reference:
        Ney, Essen & Kneser 1994, "On structuring probabilistic dependences in stochastic language
        modelling".

    Example:
        >>> model = NGram(1, tokens=3).fit([0, 1, 0, 1])
        >>> round(model.perplexity([0, 1]), 2)
        2.29
    """

    def __init__(self, order: int, tokens: int, discount: float = 0.75) -> None:
        self.order, self.tokens, self.discount = order, tokens, discount
        self._counts: list[dict[tuple[int, ...], Counter[int]]] = []

    def fit(self, ids: Sequence[int]) -> "NGram":
        """Counts."""
        self._counts = []
        for n in range(self.order):
            counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
            for i in range(n, len(ids)):
                counts[tuple(ids[i - n : i])][ids[i]] += 1
            self._counts.append(dict(counts))
        self._totals = [{u: c.total() for u, c in level.items()} for level in self._counts]
        return self

    def probability(self, context: tuple[int, ...], token: int) -> float:
        """The probability of a token after at most `order - 1` others."""
        p = 1 / self.tokens
        for n in range(min(len(context), self.order - 1) + 1):
            u = context[len(context) - n :]
            counts = self._counts[n].get(u)
            if counts is None:
                break
            total = self._totals[n][u]
            kept = max(counts[token] - self.discount, 0) / total if token in counts else 0.0
            p = kept + self.discount * len(counts) / total * p
        return p

    def perplexity(self, ids: Sequence[int]) -> float:
        """The perplexity of a text."""
        total = 0.0
        for i, token in enumerate(ids):
            total -= math.log(self.probability(tuple(ids[max(i - self.order + 1, 0) : i]), token))
        return math.exp(total / len(ids))
