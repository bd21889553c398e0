"""Treating a training whose gradient vanishes or explodes."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from elman.diagnostics import Diagnosis

from ._losses import LEARNS, Losses
from ._snapshot import restore, snapshot
from ._treatment import CHANGING, Treatment

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
_VANISHED = ("vanishing", "saturated", "dead")


class Remedies:
    """Changes a training so that its gradient arrives where the answer lies: the weights it starts
    from, their nonlinearity, its learning rate and last good step; the cell where it may.

    Every change is noted with its reason. One that did not help is undone before the next is
    tried; one under which units keep dying, or that leaves the loss far above the one before it, in
    any case.

    Args:
        module: what is trained.
        optimizer: its optimiser; a change of the cell asks for a new one by `renew`.
        note: takes a record for the log.
        change_cells: whether simple cells may become GRUs at last.
        renew: makes a new optimiser, for other parameters.

    Attributes:
        rate: what the learning rate is multiplied with.
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
        self._network, self._renew = Treatment(module, change_cells=change_cells), renew
        self.rate = 1.0
        self.tried: list[str] = []
        # those of the plan that cannot act on this network
        self.left_out: list[str] = []
        self._losses = Losses()
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
    def changed(self) -> dict[str, str]:
        """What was changed about the network, for `apply_changes`."""
        return self._network.changed

    @property
    def has_changed_network(self) -> bool:
        """Whether it has ever been another one than before besides its weights."""
        return any(name in CHANGING for name in self.tried)

    def become(self, changed: dict[str, str], weights: dict[str, Tensor]) -> None:
        """Makes the network at the end what it was with other changes, and its weights of then."""
        if changed == self.changed:
            self.module.load_state_dict(weights)
        else:
            self._network.become(changed, weights)

    def look(self, step: int, found: Diagnosis) -> bool:
        """Takes a diagnosis: treats what is ill, and undoes what did not help. Tells whether it
        changed something.
        """
        reach = float(found.reach.steps if found.reach.lag is None else found.reach.lag)
        # what is learned is learned, whatever the gradient looks like
        learns = self._losses.have_fallen()
        ill = found.can_learn is False and found.kind in _VANISHED and not learns
        dead = ill and found.dead >= _DEAD and step > 0
        self._deaths = self._deaths + 1 if dead else 0
        if dead:
            return self._revive(step, found)
        if (why := self._is_worse(step)) is not None:
            return self._undo_for_good(why)
        if found.finite and found.growth < _GROWN and self._losses.middle is not None:
            # the first one stays: it is where the remedies began
            self._kept = [*self._kept[:1], *self._kept[1:][-_CHAIN:]]
            self._kept.append(snapshot(self.module, self.optimizer) | {"ill": ill})
        if found.kind in ("exploding", "chaotic") and step == 0 and self._can("spectral"):
            self._network.apply("spectral", 0)
            self._log("spectral", f"{found.kind}: {found.sentence()}")
            return True
        if not ill:
            self._idle, self._best_reach = 0, max(self._best_reach, reach)
            return False
        self._idle = 0 if reach > _GROWTH * self._best_reach else self._idle + 1
        self._best_reach = max(self._best_reach, reach)
        return (step == 0 or self._idle >= _PATIENCE) and self._treat(step, found)

    def _revive(self, step: int, found: Diagnosis) -> bool:
        """Units that died since the gradient arrived: the steps were too long for them."""
        why = f"{found.dead:.0%} of the units never move"
        if self._deaths <= _DEATHS:
            self._kept = [one for one in self._kept if not one["ill"]]
            self._back_to_good(step, _REVIVING, why, again=self._deaths > 1)
            return True
        return self._treat(step, found) or self._undo_for_good(why)

    def _is_worse(self, step: int) -> str | None:
        """Says so where the losses lie far above those before the newest remedy although the
        training has had as many steps since; a little above is what a network that had learned
        nothing does.
        """
        before = self._before
        if before is None or before["loss"] is None or step - before["since"] < before["steps"]:
            return None
        loss = self._losses.middle
        if loss is None or LEARNS * loss <= before["loss"]:
            return None
        return (
            f"the loss is {loss:.3g}, and was {before['loss']:.3g} before it, after as many steps"
        )

    def _treat(self, step: int, found: Diagnosis) -> bool:
        """Tries the next remedy, from the weights that the training started from; tells whether
        there was one.
        """
        name, earlier = self._next(), self._before
        if name is None:
            return False
        self._undo(f"the reach is {found.reach.lag} steps.")
        loss = self._losses.middle
        self._before = {
            "weights": self._network.weights(),
            "rate": self.rate,
            "since": step,
            # of the same weights, if another remedy was tried on them
            "steps": step if earlier is None else earlier["steps"],
            "loss": loss if earlier is None else earlier["loss"],
        }
        self.tried.append(name)
        self._log(name, f"{found.kind}: {found.sentence()}")
        had = dict(self.changed)
        self._network.apply(name, max(found.needed or found.reach.steps, 3))
        self._renew_if_cells_changed(had)
        self._forget()
        return True

    def _next(self) -> str | None:
        """The remedy whose turn it is; one that cannot act is noted, and leaves it to the one
        behind it.
        """
        for name in self._network.plan():
            if name not in self.tried and name not in self.left_out and self._can(name):
                return name
        return None

    def _can(self, name: str) -> bool:
        """Whether a remedy can act on the network; notes where it cannot."""
        why = self._network.obstacle(name)
        if why is not None:
            self.left_out.append(name)
            self._log(f"{name} left out", f"{why}.")
        return why is None

    @contextmanager
    def stepping(self) -> Generator[None]:
        """For a step of the optimiser: its learning rates are `rate` times what they are."""
        groups = self.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] *= self.rate
        with self._network.stepping():
            yield
        # the schedule goes on from its own rates
        for group, lr in zip(groups, rates, strict=True):
            group["lr"] = lr

    def _undo(self, why: str) -> bool:
        """Takes the newest remedy back; tells whether there was one."""
        if self._before is None:
            return False
        self._log(f"{self.tried[-1]} undone", why)
        before, self._before = self._before, None
        self.rate, had = before["rate"], dict(self.changed)
        self._network.undo(before["weights"])
        self._renew_if_cells_changed(had)
        return True

    def _renew_if_cells_changed(self, had: dict[str, str]) -> None:
        if had.get("cell") != self.changed.get("cell"):
            self.optimizer = self._renew()

    def _undo_for_good(self, why: str) -> bool:
        """As `_undo`, with nothing tried in its place."""
        undone = self._undo(f"{why}.")
        if undone:
            self._forget()
        return undone

    def _forget(self) -> None:
        """What was known of other weights does not count any more."""
        self.optimizer.state.clear()
        self._losses.forget()
        self._best_reach, self._idle, self._deaths = 0.0, 0, 0
        self._kept = [self._start()]

    def _start(self) -> dict[str, Any]:
        """Where the remedies begin."""
        return snapshot(self.module, self.optimizer) | {"ill": False}

    def stepped(self, step: int, loss: float) -> bool:
        """Takes a step's loss; goes back to the last good step if the losses exploded. Tells
        whether they did.
        """
        if not self._losses.explode(loss):
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
        self._losses.forget()
        why += f"; the learning rate is now {self.rate:.3g} times what it was."
        self._log("back to the last good step", why)

    @property
    def is_at_an_end(self) -> bool:
        """Whether the learning rate cannot be cut any more."""
        return self.rate < _LEAST_RATE

    def _log(self, name: str, why: str) -> None:
        self._note({"remedy": name, "why": why})

    def state(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {
            "rate": self.rate,
            "network": self._network.state(),
            "tried": list(self.tried),
            "left_out": list(self.left_out),
            **self._losses.state(),
            "kept": self._kept,
            "exploded_at": self._exploded_at,
            "deaths": self._deaths,
            "before": self._before,
            "best_reach": self._best_reach,
            "idle": self._idle,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Sets what `state` gave."""
        self.rate, self.tried = state["rate"], list(state["tried"])
        # an older checkpoint knows none
        self.left_out = list(state.get("left_out", []))
        self._network.load(state["network"])
        self._renew_if_cells_changed({})
        self._losses.load(state)
        self._kept = state["kept"]
        self._before, self._best_reach = state["before"], state["best_reach"]
        self._exploded_at, self._deaths = state["exploded_at"], state["deaths"]
        self._idle = state["idle"]
