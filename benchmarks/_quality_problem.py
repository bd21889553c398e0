"""What a quality problem is: its data, its commands, its published figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Prepare = Callable[[Path, Path], None]
"""Makes of a folder of data sets the files that the commands read, in another folder."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A task on real data.

    Args:
        data: the data set.
        split: what is trained on, chosen by and tested on.
        model: the network, in words.
        figure: the name of the figure among the results of the last command.
        shown: the figure as the table names it.
        published: what others reached, and where it says so.
        needed: what is to be reached.
        lower: whether less is better.
        scale: what the figure is multiplied by to be shown.
        minutes: that the training of one seed may take on two cores.
        prepare: makes the files.
        commands: `elman` commands; {data} is the folder of the files, {run} that of the run, {seed}
            a number.
        beside: the name of another figure that is stated beside it, and how; None for none.
        seeds: how many are run.
        missed: what is known of why the figure is not as good as needed, where it is not.
        trained_by: another problem with the same commands, whose runs and files serve this one too.
    """

    data: str
    split: str
    model: str
    figure: str
    shown: str
    published: str
    needed: float
    lower: bool = False
    scale: float = 1.0
    minutes: float
    prepare: Prepare
    commands: tuple[str, ...]
    beside: tuple[str, str] | None = None
    seeds: int = 3
    missed: str = ""
    trained_by: str | None = None

    def is_reached(self, value: float) -> bool:
        """Whether a figure, as the results give it, is as good as needed."""
        shown = value * self.scale
        return shown <= self.needed if self.lower else shown >= self.needed
