"""Treating a training whose gradient vanishes or explodes."""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from math import isfinite
from statistics import median
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from elman.diagnostics import Diagnosis, remedies
from elman.nn import Recurrent, change_cell

from ._snapshot import restore, snapshot

# a loss that lies so many times the median's size above the median of the newest is an explosion
_EXPLODED, _STAYS, _LOSSES, _FEW = 10.0, 10, 50, 5
# what an explosion does to the learning rate, and where that ends
_CUT, _LEAST_RATE = 0.5, 1e-4
# the share of dead units that does not come from learning, what it does to the rate, and how often
# in a row before the remedy is given up
_DEAD, _REVIVING, _DEATHS = 0.5, 0.1, 2
# how many good steps are kept, how far a gradient may grow on its way back in one, and an explosion
# that comes so soon after another one says that it was none
_CHAIN, _GROWN, _SOON = 4, 10.0, 100
# probes without progress after which a remedy did not help, and what progress is
_PATIENCE, _GROWTH = 2, 1.1
# from one probe to the next: a loss that fell so far is learned, whatever the gradient looks like
_LEARNS = 0.8
_VANISHED = ("vanishing", "saturated", "dead")
_GATED = (("i", "f", "g", "o"), ("r", "z", "n"))
# the part that is left of U where W is the identity, whose sums grow with the steps
_SMALL = 0.1
# and how far W moves there in a step, in units of what the optimiser would: a product over all
# steps is made of it
_SLOW = 0.3


class Remedies:
    """Changes a training so that its gradient arrives where the answer lies: the weights it starts
    from, their nonlinearity, its learning rate and last good step; the cell where it may.

    Every change is noted with its reason. One that did not help is undone before the next is
    tried, one under which units keep dying in any case.

    Args:
        module: what is trained.
        optimizer: its optimiser; a change of the cell asks for a new one by `renew`.
        note: takes a record for the log.
        change_cells: whether simple cells may become GRUs at last.
        renew: makes a new optimiser, for other parameters.

    Attributes:
        rate: what the learning rate is multiplied with.
        changed: what was changed about the network, for `apply_changes`.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        note: Callable[[dict[str, Any]], None],
        *,
        change_cells: bool = False,
        renew: Callable[[], Optimizer],
    ) -> None:
        self.module, self.optimizer, self._note = module, optimizer, note
        self._change_cells, self._renew = change_cells, renew
        self.rate = 1.0
        self.changed: dict[str, str] = {}
        self.tried: list[str] = []
        self._losses: deque[float] = deque(maxlen=_LOSSES)
        # the newest losses' median at the last probe
        self._looked_at: float | None = None
        self._nonlinearity = next(
            (str(one.cell.f.name) for one in self._layers if one.cell.f is not None), "tanh"
        )
        self._began_orthogonal = all(remedies.is_orthogonal(one) for one in self._square())
        # whether W moves less far than the optimiser would have it
        self._slow = False
        # losses in a row that lie far above the others
        self._above = 0
        # the last good steps, the newest last, and the step of the newest explosion
        self._kept = [self._start()]
        self._exploded_at = -_SOON
        # probes in a row that found the units dead
        self._deaths = 0
        # weights, rate, steps and loss before the newest remedy and the step since which it has its
        # way, the best reach since, and probes without progress
        self._before: dict[str, Any] | None = None
        self._best_reach, self._idle = 0.0, 0

    @property
    def _layers(self) -> list[Recurrent]:
        return [one for one in self.module.modules() if isinstance(one, Recurrent)]

    def look(self, step: int, found: Diagnosis) -> bool:
        """Takes a diagnosis: treats what is ill, and undoes what did not help. Tells whether it
        changed something.
        """
        reach = float(found.reach.steps if found.reach.lag is None else found.reach.lag)
        learns = self._learns()
        ill = found.can_learn is False and found.kind in _VANISHED and not learns
        dead = ill and found.dead >= _DEAD and step > 0
        self._deaths = self._deaths + 1 if dead else 0
        if dead:
            return self._revive(step, found)
        if (why := self._is_worse(step)) is not None:
            return self._undo_for_good(step, why)
        if found.finite and found.growth < _GROWN and len(self._losses) >= _FEW:
            # the first one stays: it is where the remedies began
            self._kept = [*self._kept[:1], *self._kept[1:][-_CHAIN:]]
            self._kept.append(snapshot(self.module, self.optimizer) | {"ill": ill})
        if found.kind in ("exploding", "chaotic") and step == 0:
            self._calm(step, found)
            return True
        if not ill:
            self._idle, self._best_reach = 0, max(self._best_reach, reach)
            return False
        self._idle = 0 if reach > _GROWTH * self._best_reach else self._idle + 1
        self._best_reach = max(self._best_reach, reach)
        return (step == 0 or self._idle >= _PATIENCE) and self._treat(step, found)

    def _learns(self) -> bool:
        before, self._looked_at = self._looked_at, None
        if len(self._losses) >= _FEW:
            self._looked_at = median(self._losses)
        if before is None or self._looked_at is None:
            return False
        return before - self._looked_at > (1 - _LEARNS) * abs(before)

    def _calm(self, step: int, found: Diagnosis) -> None:
        for layer in self._square():
            remedies.spectral(layer, 1.0)
        self._log(step, "spectral", f"{found.kind}: {found.sentence()}")

    def _revive(self, step: int, found: Diagnosis) -> bool:
        """Units that died since the gradient arrived: the steps were too long for them."""
        why = f"{found.dead:.0%} of the units never move"
        if self._deaths <= _DEATHS:
            self._kept = [one for one in self._kept if not one["ill"]]
            self._back_to_good(step, _REVIVING, why, again=self._deaths > 1)
            return True
        return self._treat(step, found) or self._undo_for_good(step, why)

    def _is_worse(self, step: int) -> str | None:
        """Says so where the losses lie above those before the newest remedy although the training
        has had as many steps since.
        """
        before = self._before
        if before is None or before["loss"] is None or step - before["since"] < before["steps"]:
            return None
        if len(self._losses) < _FEW or median(self._losses) <= before["loss"]:
            return None
        return (
            f"the loss is {median(self._losses):.3g}, and was {before['loss']:.3g} before it, after"
            " as many steps"
        )

    def _treat(self, step: int, found: Diagnosis) -> bool:
        """Tries the next remedy, from the weights that the training started from; tells whether
        there was one.
        """
        waiting = [name for name in self._plan() if name not in self.tried]
        if not waiting:
            return False
        name = waiting[0]
        self._undo(step, f"the reach is {found.reach.lag} steps.")
        self._before = {
            "weights": {k: v.detach().clone() for k, v in self.module.state_dict().items()},
            "rate": self.rate,
            "steps": step,
            "since": step,
            "loss": median(self._losses) if len(self._losses) >= _FEW else None,
        }
        self.tried.append(name)
        self._log(step, name, f"{found.kind}: {found.sentence()}")
        getattr(self, f"_{name}")(max(found.needed or found.reach.steps, 3))
        self._forget()
        return True

    def _plan(self) -> list[str]:
        """The remedies for the cells, in order."""
        if all(one.cell.gates in _GATED for one in self._layers):
            return ["chrono"]
        plan = ["orthogonal", "identity"] if self._square() else []
        if self._began_orthogonal:
            plan = plan[1:]
        return [*plan, "gru"] if self._change_cells else plan

    def _square(self) -> list[Recurrent]:
        """The layers whose W is square."""
        return [one for one in self._layers if not one.fed_back]

    def _orthogonal(self, lag: int) -> None:
        for layer in self._square():
            remedies.orthogonal(layer)

    def _identity(self, lag: int) -> None:
        self._change("nonlinearity", "relu")
        for layer in self._square():
            remedies.identity(layer)
            for name, weight in layer.named_parameters():
                if name.startswith("weight_ih"):
                    weight.data.mul_(_SMALL)

        self._slow = True

    @contextmanager
    def stepping(self) -> Generator[None]:
        """For a step of the optimiser: where the remedy is the identity, W moves less far."""
        weights: list[Tensor] = []
        if self._slow:
            named = [pair for one in self._square() for pair in one.named_parameters()]
            weights = [w for name, w in named if name.startswith("weight_hh")]
        before = [w.detach().clone() for w in weights]
        yield
        for weight, start in zip(weights, before, strict=True):
            weight.data.lerp_(start, 1 - _SLOW)

    def _chrono(self, lag: int) -> None:
        for layer in self._layers:
            if layer.bias:
                remedies.chrono(layer, lag)

    def _gru(self, lag: int) -> None:
        self.changed.clear()
        self._change("cell", "gru")
        for layer in self._layers:
            remedies.chrono(layer, lag)
        self.optimizer = self._renew()

    def _change(self, what: str, value: str) -> None:
        self.changed[what] = value
        apply_changes(self.module, {what: value})

    def _undo(self, step: int, why: str) -> bool:
        """Takes the newest remedy back; tells whether there was one."""
        if self._before is None:
            return False
        self._log(step, f"{self.tried[-1]} undone", why)
        before, self._before = self._before, None
        self.rate, self._slow = before["rate"], False
        if self.changed.pop("nonlinearity", None) is not None:
            apply_changes(self.module, {"nonlinearity": self._nonlinearity})
        self.module.load_state_dict(before["weights"])
        return True

    def _undo_for_good(self, step: int, why: str) -> bool:
        """As `_undo`, with nothing tried in its place."""
        undone = self._undo(step, f"{why}.")
        if undone:
            self._forget()
        return undone

    def _forget(self) -> None:
        """What was known of other weights does not count any more."""
        self.optimizer.state.clear()
        self._losses.clear()
        self._looked_at = None
        self._best_reach, self._idle, self._deaths = 0.0, 0, 0
        self._kept = [self._start()]

    def _start(self) -> dict[str, Any]:
        """Where the remedies begin."""
        return snapshot(self.module, self.optimizer) | {"ill": False}

    def stepped(self, step: int, loss: float) -> bool:
        """Takes a step's loss; goes back to the last good step if the losses exploded. Tells
        whether they did.
        """
        if not self._exploded(loss):
            return False
        soon = step - self._exploded_at < _SOON
        self._exploded_at = step
        self._back_to_good(step, _CUT, f"the loss was {loss:.3g}", again=soon)
        return True

    def _back_to_good(self, step: int, cut: float, why: str, *, again: bool) -> None:
        """Goes back to the last good step with a smaller learning rate; if that is where it came
        from just now, to the one before.
        """
        if again and len(self._kept) > 1:
            # that good step was at the brink
            self._kept.pop()
        self.rate *= cut
        if self._before is not None:
            self._before["since"] = step
        restore(self._kept[-1], self.module, self.optimizer)
        self._losses.clear()
        self._looked_at, self._above = None, 0
        why += f"; the learning rate is now {self.rate:.3g} times what it was."
        self._log(step, "back to the last good step", why)

    @property
    def is_at_an_end(self) -> bool:
        """Whether the learning rate cannot be cut any more."""
        return self.rate < _LEAST_RATE

    def _exploded(self, loss: float) -> bool:
        """Whether a loss is not finite, or lies far above what was usual for the tenth time in a
        row: a training comes back from a single one by itself.
        """
        if not isfinite(loss):
            return True
        if len(self._losses) >= _FEW:
            middle = median(self._losses)
            spread = median(abs(one - middle) for one in self._losses)
            if loss > middle + _EXPLODED * max(abs(middle), spread, 1e-12):
                self._above += 1
                return self._above >= _STAYS
        self._above = 0
        self._losses.append(loss)
        return False

    def _log(self, step: int, name: str, why: str) -> None:
        self._note({"remedy": name, "why": why})

    def state(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "rate": self.rate,
            "changed": dict(self.changed),
            "tried": list(self.tried),
            "losses": list(self._losses),
            "looked_at": self._looked_at,
            "kept": self._kept,
            "exploded_at": self._exploded_at,
            "above": self._above,
            "deaths": self._deaths,
            "slow": self._slow,
            "before": self._before,
            "best_reach": self._best_reach,
            "idle": self._idle,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Sets what `state` gave."""
        self.rate, self.tried = state["rate"], list(state["tried"])
        self.changed = dict(state["changed"])
        apply_changes(self.module, self.changed)
        if "cell" in self.changed:
            self.optimizer = self._renew()
        self._losses = deque(state["losses"], maxlen=_LOSSES)
        self._looked_at, self._kept = state["looked_at"], state["kept"]
        self._before, self._best_reach = state["before"], state["best_reach"]
        self._exploded_at, self._above = state["exploded_at"], state["above"]
        self._deaths = state["deaths"]
        self._idle, self._slow = state["idle"], state["slow"]


def apply_changes(module: nn.Module, changed: dict[str, str]) -> None:
    """Makes a network what a remedy made of it: other nonlinearities, other cells.

    Args:
        module: a network with recurrent layers.
        changed: as `Remedies.changed` holds it.

    Example:
        >>> import elman
        >>> network = nn.Sequential(elman.nn.RNN(2, 3))
        >>> apply_changes(network, {"cell": "gru"})
        >>> network[0]
        GRU(2, 3)
    """
    for what, value in changed.items():
        for name, one in list(module.named_modules()):
            if isinstance(one, Recurrent):
                made = change_cell(one, **{what: value})
                if made is one:
                    continue
                parent, _, last = name.rpartition(".")
                setattr(module.get_submodule(parent), last, made)
