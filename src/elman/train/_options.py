"""What can be said about a training."""

from dataclasses import dataclass, fields
from typing import Any

from elman.ops import is_flag, is_integer, is_number, is_whole

OPTIMIZERS = ("adamw", "sgd")
REMEDIES = ("none", "auto")
PRECISIONS = ("float32", "bfloat16")
SCHEDULES = ("constant", "cosine", "linear", "exponential", "plateau")


@dataclass(kw_only=True, eq=False, repr=False)
class TrainOptions:
    """How a model is trained; the estimators have these fields too.

    Args:
        epochs: passes over the data.
        max_steps: optimiser steps after which to stop; None for no limit.
        batch_size: sequences in a batch, B; the estimators make their batches by it, `fit` is given
            them.
        lr: learning rate at its highest.
        optimizer: "adamw" or "sgd".
        weight_decay: AdamW's decoupled decay, or SGD's.
        momentum: of SGD; AdamW has none, and is refused with one.
        schedule: how the learning rate falls: "constant", "cosine" and "linear" (to zero),
            "exponential" (to a hundredth), "plateau" (halved after an evaluation that brought
            nothing, the warm-up's not counted).
        warmup_steps: optimiser steps over which it rises first.
        clip_norm: bound of the norm of all gradients together; None for none.
        clip_value: bound of each entry of the gradients; None for none.
        watch: whether to look at the gradient through time while training.
        remedy: "auto" treats a gradient that vanishes or explodes, "none" does not.
        change_cell: whether a remedy may put GRUs in the place of simple cells.
        give_up: whether to stop early where the gradient does not arrive and does not come nearer.
        precision: "bfloat16" takes the products of training in bfloat16, with weights and losses in
            float32 (autocast): two to three times as fast for wide networks where the processor or
            GPU multiplies it; validation and the trained model stay in float32.
        accumulate: batches whose gradients are added before a step.
        average: the part that a step leaves of a moving average of the weights, which then is what
            is evaluated and what results (Polyak & Juditsky 1992); such as 0.999; 0 for none.
        patience: evaluations without improvement after which to stop early; None for never.
        evaluate_every: optimiser steps between evaluations; None for once an epoch.
        checkpoint_seconds: time between checkpoints in a run folder; up to ten times as long where
            they would take more than a hundredth of the training.
        keep_best: whether the weights with the lowest validation loss are the result, rather than
            the last ones. What is told may go on to become better after the loss has turned, as the
            part of a `Translator`'s texts without a fault: compare both.
        device: "auto" (a GPU where there is one), "cpu", "cuda", …; the estimators put their module
            there, `fit` trains where it finds it.
        random_state: seed of everything, or a generator of Python or NumPy to draw it from; None
            draws one. The estimators seed with it; `fit` draws on from where torch's generators
            stand (see `seed`).

    Example:
        >>> TrainOptions(lr=1e-3).epochs
        10
    """

    epochs: int = 10
    max_steps: int | None = None
    batch_size: int = 32
    lr: float = 2e-3
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    momentum: float = 0.0
    schedule: str = "cosine"
    warmup_steps: int = 0
    clip_norm: float | None = 1.0
    clip_value: float | None = None
    watch: bool = False
    remedy: str = "none"
    change_cell: bool = False
    give_up: bool = False
    precision: str = "float32"
    accumulate: int = 1
    average: float = 0.0
    patience: int | None = None
    evaluate_every: int | None = None
    checkpoint_seconds: float = 30.0
    keep_best: bool = True
    device: str = "auto"
    random_state: Any = 0


_WHOLE = ("epochs", "batch_size", "accumulate")
_WHOLE_OR_NONE = ("max_steps", "patience", "evaluate_every")
_WHOLE_OR_ZERO = ("warmup_steps",)
_POSITIVE = ("lr",)
_POSITIVE_OR_NONE = ("clip_norm", "clip_value")
_NOT_NEGATIVE = ("weight_decay", "momentum", "checkpoint_seconds")
_FLAGS = ("watch", "change_cell", "give_up", "keep_best")
_WORDS = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "remedy": REMEDIES,
    "precision": PRECISIONS,
}


def check_train_options(options: TrainOptions, where: str) -> None:
    """Raises ValueError for the first option that cannot be.

    Example:
        >>> check_train_options(TrainOptions(lr=-1), "fit")
        Traceback (most recent call last):
        ValueError: fit: lr=-1; give a number above zero.
    """
    _check_numbers(options, where)
    average: Any = options.average
    if not is_number(average) or not 0 <= average < 1:
        raise ValueError(f"{where}: average={average!r}; give 0 up to below 1.")
    for name in _FLAGS:
        if not is_flag(getattr(options, name)):
            raise ValueError(f"{where}: {name}={getattr(options, name)!r}; give True or False.")
    seed = options.random_state
    draws = hasattr(seed, "randint") or hasattr(seed, "integers")
    if not (seed is None or draws or (is_integer(seed) and 0 <= seed < 2**63)):
        raise ValueError(
            f"{where}: random_state={seed!r}; give a whole number from 0 on as the seed, or None."
        )
    for name, known in _WORDS.items():
        if getattr(options, name) not in known:
            raise ValueError(
                f"{where}: {name}={getattr(options, name)!r} is not known;"
                f" give one of {', '.join(known)}."
            )
    if options.momentum and options.optimizer != "sgd":
        raise ValueError(
            f"{where}: momentum={options.momentum!r} with optimizer={options.optimizer!r}, which"
            ' has none; give optimizer="sgd", or leave momentum out.'
        )
    if options.change_cell and options.remedy == "none":
        raise ValueError(
            f'{where}: change_cell={options.change_cell!r} with remedy="none", which changes'
            ' nothing; give remedy="auto", or leave change_cell out.'
        )


def plain_options(options: TrainOptions) -> TrainOptions:
    """The same options with Python's numbers in the place of numpy's: a checkpoint holds no others,
    and what is computed with them is what a training computes that goes on from one.

    Example:
        >>> import numpy as np
        >>> plain_options(TrainOptions(lr=np.float32(0.5))).lr
        0.5
    """
    names = [one.name for one in fields(TrainOptions)]
    return TrainOptions(**{name: plain_number(getattr(options, name)) for name in names})


def plain_number(value: Any) -> Any:
    """Python's number or flag in the place of numpy's; anything else as it is.

    Example:
        >>> import numpy as np
        >>> plain_number(np.int64(3)), plain_number("x")
        (3, 'x')
    """
    if is_flag(value):
        return bool(value)
    if is_integer(value):
        return int(value)
    return float(value) if is_number(value) else value


def _check_numbers(options: TrainOptions, where: str) -> None:
    for name in (*_WHOLE, *_WHOLE_OR_NONE, *_WHOLE_OR_ZERO):
        value = getattr(options, name)
        may_be_zero = name in _WHOLE_OR_ZERO
        is_none = value is None and name in _WHOLE_OR_NONE
        if not (is_none or is_whole(value) or (may_be_zero and is_integer(value) and value == 0)):
            least = "zero or above" if may_be_zero else "above zero"
            raise ValueError(f"{where}: {name}={value!r}; give a whole number {least}.")
    for name in (*_POSITIVE, *_POSITIVE_OR_NONE, *_NOT_NEGATIVE):
        value = getattr(options, name)
        if value is None and name in _POSITIVE_OR_NONE:
            continue
        may_be_zero = name in _NOT_NEGATIVE
        if not is_number(value) or not (value > 0 or (value == 0 and may_be_zero)):
            least = "a number, zero or above" if may_be_zero else "a number above zero"
            raise ValueError(f"{where}: {name}={value!r}; give {least}.")
