"""What every cell is: a few names and a few straight-line functions."""

from collections.abc import Callable
from dataclasses import dataclass

from ._nonlinearity import NONLINEARITIES, Nonlinearity
from ._vocabulary import Values

Step = Callable[[Values, Values, Values], tuple[Values, Values]]
StepBackward = Callable[[Values, Values, Values, Values], tuple[Values, Values, Values]]
Operand = Callable[[Values, Values, Values], tuple[Values, Values]]
OperandBackward = Callable[[Values, Values, Values], tuple[Values, Values, Values]]


@dataclass(frozen=True)
class Cell:
    """One recurrence, from one step to the next, without its loop.

    At every step a schedule computes `wx = W_ih x(t) + b_ih` and `uh = W_hh h(t-1) + b_hh`, splits
    both into gates, and calls `step(wx, uh, state) -> (new_state, saved)`. `step_backward(dstate,
    state, after, saved) -> (dwx, duh, dstate)` takes the gradient of the new state, and the states
    before and after the step; the part of the gradient that flows through `uh` is the schedule's.

    Args:
        name: what the layer and the messages call it.
        gates: the gates' letters, in the order of the rows of the weights.
        states: the states' letters; the first one is the state that is fed back and put out.
        saved: the names of what `step` saves.
        step: one step forward.
        step_backward: its gradient.
        first: the gates whose product is with h(t-1) itself; where it is shorter than `gates`, the
            others multiply `operand`.
        operand: `operand(wx_first, uh_first, state) -> ((operand,), saved)`, what the second
            product multiplies.
        operand_backward: its gradient, `(doperand, state, saved) -> (dwx_first, duh_first,
            dstate)`.
        output: g of the output layer o = g(V h + c), for a cell whose output is fed back through a
            product of its own (a projection, a Jordan network); the identity otherwise.
        native: what the native module calls the cell, or None if it is not built in.

    Example:
        >>> import torch
        >>> from elman.cells import gru
        >>> one = (torch.ones(1, 2),) * 3
        >>> (h,), saved = gru.cell.step(one, one, (torch.zeros(1, 2),))
        >>> h.shape
        torch.Size([1, 2])
    """

    name: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    saved: tuple[str, ...]
    step: Step
    step_backward: StepBackward
    first: tuple[str, ...] = ()
    operand: Operand | None = None
    operand_backward: OperandBackward | None = None
    f: Nonlinearity | None = None
    output: Nonlinearity = NONLINEARITIES["identity"]
    native: str | None = None

    def __deepcopy__(self, memo: object) -> "Cell":
        """Itself: nothing of it can change, and copies of a layer share it."""
        return self

    @property
    def two_products(self) -> bool:
        """Whether some gates multiply an operand that depends on other gates."""
        return self.operand is not None
