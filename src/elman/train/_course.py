"""What the course of a training follows from, and so what it can only go on with."""

from pathlib import Path
from typing import Any

from ._options import TrainOptions
from ._run import differences, other_options

_OF_EVERY_STEP = (
    "accumulate",
    "average",
    "clip_norm",
    "clip_value",
    "lr",
    "momentum",
    "optimizer",
    "precision",
    "remedy",
    "schedule",
    "warmup_steps",
    "weight_decay",
)
_FALLING = ("cosine", "linear", "exponential")


def course(options: TrainOptions, batches: int) -> dict[str, Any]:
    """The options that a training's steps follow from, as plain values by name, for a checkpoint.

    What says when a training ends, is evaluated, looked at or saved is not among them, save where
    its steps follow from that too: the rates of a schedule that falls from the number of all steps,
    those of a plateau from the evaluations.

    Args:
        options: of the training, with Python's numbers (see `plain_options`).
        batches: in an epoch.

    Example:
        >>> constant, falling = TrainOptions(schedule="constant"), TrainOptions(schedule="cosine")
        >>> sorted({*course(falling, 9)} - {*course(constant, 9)})
        ['batches in an epoch', 'epochs', 'max_steps']
    """
    names: list[str] = list(_OF_EVERY_STEP)
    if options.remedy == "auto":
        names.append("change_cell")
    if options.schedule == "plateau":
        names.append("evaluate_every")
    if options.schedule in _FALLING:
        names += ["epochs", "max_steps"]
    found = {name: getattr(options, name) for name in names}
    return found | ({"batches in an epoch": batches} if options.schedule in _FALLING else {})


def check_course(folder: Path, begun: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses to go on with a run in a folder that was begun on another course; what stands in one
    of the two alone is left out.

    Raises:
        ValueError: it was; the text lists the differences.
    """
    shared = begun.keys() & now.keys()
    found = differences(*({name: one[name] for name in shared} for one in (begun, now)))
    if found:
        raise other_options(folder, found)
