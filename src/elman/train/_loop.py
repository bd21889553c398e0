"""Training a module, from wherever its run stands to its end."""

from ._evaluate import Evaluate
from ._monitor import Checkup
from ._options import TrainOptions, check_train_options, plain_options
from ._progress import ProgressLine
from ._protocols import Batches, History, Objective
from ._run import Run
from ._trainer import Trainer


def fit(
    objective: Objective,
    batches: Batches,
    *,
    options: TrainOptions,
    evaluate: Evaluate | None = None,
    run: Run | None = None,
    checkup: Checkup | None = None,
    progress: bool = False,
    unit: str = "sequences",
) -> History:
    """Trains a module.

    Every step checks that the loss and the gradient's norm are finite; a step where they are not
    is skipped and counted, and three in a row end the training with the last good weights in
    place. With a run folder the training is saved as it goes, and a training that was cut off at
    any moment goes on from there to the same weights, bit for bit, as one that was not. What says
    when it ends may be another then: more epochs, where the learning rate does not fall with the
    number of all steps, make it longer.

    Args:
        objective: the module and its loss.
        batches: the data.
        options: see `TrainOptions`.
        evaluate: gives the validation figures, "loss" among them (lower is better).
        run: the run folder to save to and to go on from.
        checkup: how the gradient through time is looked at where the options ask for it.
        progress: whether to show a live line on a terminal.
        unit: what the live line counts.

    Returns:
        What happened; the module holds the weights.

    Raises:
        ValueError: an option cannot be, there is no batch, or no parameter to learn, the evaluation
            gives no loss, an epoch ends within the batches of a step, or the run was begun with
            options from which other steps follow.
        TypeError: a batch hands on what a checkpoint cannot hold.
        Diverged: three steps in a row were not finite.
        Interrupted: the keyboard interrupted it; with a run folder everything was saved.

    Example:
        >>> import torch
        >>> from elman.train import Loss
        >>> class Mean:
        ...     module = torch.nn.Linear(1, 1)
        ...     def loss(self, batch, carry):
        ...         return Loss((self.module(batch) ** 2).mean(), len(batch))
        >>> class Ones:
        ...     def __len__(self): return 4
        ...     def epoch(self, epoch, start=0): yield from [torch.ones(2, 1)] * (4 - start)
        >>> fit(Mean(), Ones(), options=TrainOptions(epochs=2)).steps
        8
    """
    check_train_options(options, "fit")
    if not len(batches):
        raise ValueError("fit: the data has no batches; give at least one.")
    if not any(p.requires_grad for p in objective.module.parameters()):
        raise ValueError(
            f"fit: {type(objective.module).__name__} has no parameter that asks for a gradient;"
            " give a module with one."
        )
    plain = plain_options(options)
    if evaluate is None and plain.patience is not None:
        raise ValueError(
            f"fit: patience={plain.patience} without evaluations; hold data out for them, or leave"
            " patience out."
        )
    trainer = Trainer(objective, batches, plain, evaluate, run, checkup or Checkup())
    trainer.restore()
    with ProgressLine(trainer.total_steps, unit) as line:
        trainer.train(line if progress else None)
    return trainer.history()
