"""A training that came to no good end."""

from ._options import TrainOptions
from ._protocols import History

STRIKES = 3
"""Steps in a row that are not finite, and end a training."""


class Diverged(RuntimeError):
    """Three steps in a row had a loss or gradient that is not finite; where there are remedies, the
    losses exploded until they could cut the learning rate no more.

    Attributes:
        history: what had happened until then.
    """

    def __init__(self, said: str, history: History) -> None:
        super().__init__(said)
        self.history = history


def divergence(
    loss: float, norm: float, step: int, options: TrainOptions, *, rate: float | None, saved: bool
) -> str:
    """What is said about it.

    Args:
        loss: of the last step.
        norm: of its gradient.
        step: its number.
        options: of the training.
        rate: what remedies multiplied the learning rate with; None without remedies.
        saved: whether there is a run folder.
    """
    found = f"was not finite {STRIKES} times in a row"
    if rate is not None:
        found = f"exploded again and again, down to a learning rate of {rate:.0e} times what it was"
    return (
        f"training: the loss ({loss:g}) or the gradient norm ({norm:g}) {found}, at step {step}"
        f" with lr={options.lr:g} and clip_norm={options.clip_norm}; the last good weights are"
        f" kept. {what_to_try(saved=saved)}"
    )


def what_to_try(*, saved: bool) -> str:
    """What to do about a training that has diverged.

    Example:
        >>> what_to_try(saved=False)
        'Try a lower lr or a smaller clip_norm, or look for extreme values in the data.'
    """
    place = ", in another folder" if saved else ""
    return f"Try a lower lr or a smaller clip_norm{place}, or look for extreme values in the data."
