"""Drawing a token from scores."""

import torch
from torch import Tensor


def draw(
    scores: Tensor,
    *,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator,
) -> int:
    """Draws one token; temperature 0 takes the likeliest.

    Args:
        scores: (tokens,), unnormalised log-probabilities.
        temperature: what the scores are divided by.
        top_k: how many of the likeliest tokens may be drawn.
        top_p: the smallest set of the likeliest tokens with this probability together may be drawn.
        generator: where the chance comes from.

    Reference:
        Holtzman et al. 2020, "The curious case of neural text degeneration", ICLR (top-p).
    """
    if temperature == 0:
        return int(scores.argmax())
    scores, order = (scores / temperature).sort(descending=True, stable=True)
    if top_k is not None:
        scores[top_k:] = -torch.inf
    if top_p is not None:
        p = scores.softmax(0)
        # a token stays while those before it have less than top_p together; the first always does
        scores[(p.cumsum(0) - p) >= top_p] = -torch.inf
    return int(order[torch.multinomial(scores.softmax(0), 1, generator=generator)])


def check_sampling(where: str, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raises ValueError for what cannot be drawn with."""
    if temperature < 0:
        raise ValueError(f"{where}: temperature={temperature}; give zero or a number above it.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"{where}: top_k={top_k}; give a whole number above zero.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"{where}: top_p={top_p}; give a number above zero, up to 1.")
