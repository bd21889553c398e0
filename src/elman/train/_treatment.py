"""What remedies make of a network, and how it becomes again what it was."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from elman.diagnostics import remedies, spectral_radius
from elman.nn import RNN, Recurrent, change_cell

from ._snapshot import copied

CHANGING = ("identity", "gru")
"""The remedies that change more about a network than its weights."""

_GATED = (("i", "f", "g", "o"), ("r", "z", "n"))
# the part that is left of U where W is the identity, whose sums grow with the steps
_SMALL = 0.1
# and how far W moves there in a step, in units of what the optimiser would: a product over all
# steps is made of it
_SLOW = 0.3


class Treatment:
    """The remedies that change a network: its weights, its nonlinearity, its cells.

    Args:
        module: the network.
        change_cells: whether simple cells may become GRUs at last.

    Attributes:
        changed: what is another than it was besides weights, for `apply_changes`.

    Example:
        >>> import elman
        >>> network = nn.Sequential(elman.nn.RNN(2, 3, init="recurrent"))
        >>> treatment = Treatment(network)
        >>> treatment.plan()
        ['identity']
        >>> before = treatment.weights()
        >>> treatment.apply("identity", 10)
        >>> network[0].weight_hh_l0.diag().tolist(), treatment.changed
        ([1.0, 1.0, 1.0], {'nonlinearity': 'relu'})
        >>> treatment.undo(before)
        >>> network[0].cell.f.name, treatment.changed
        ('tanh', {})
    """

    def __init__(self, module: nn.Module, *, change_cells: bool = False) -> None:
        self.module, self._change_cells = module, change_cells
        self.changed: dict[str, str] = {}
        self._nonlinearities = {name: one.nonlinearity for name, one in _simple(module).items()}
        self._plan = self._planned()
        # the layers in whose places others are
        self._replaced: dict[str, Recurrent] = {}
        # whether W moves less far than the optimiser would have it
        self._slow = False

    @property
    def _layers(self) -> list[Recurrent]:
        return [one for one in self.module.modules() if isinstance(one, Recurrent)]

    @property
    def _square(self) -> list[Recurrent]:
        """The layers whose W is square, and a parameter that nothing else computes."""
        return [one for one in self._layers if not one.fed_back and _has_plain_weights(one)]

    @property
    def _simple_square(self) -> list[Recurrent]:
        return [one for one in self._square if isinstance(one, RNN)]

    @property
    def _gated(self) -> list[Recurrent]:
        return [one for one in self._layers if one.cell.gates in _GATED]

    def plan(self) -> list[str]:
        """The remedies in order, for the network as it was at first: each is tried on that."""
        return list(self._plan)

    def _planned(self) -> list[str]:
        if len(self._gated) == len(self._layers):
            return ["chrono"]
        began_orthogonal = all(remedies.is_orthogonal(one) for one in self._square)
        plan = ["orthogonal"] if self._square and not began_orthogonal else []
        if self._simple_square:
            plan += ["identity", "gru"] if self._change_cells else ["identity"]
        # GRUs in the place of simple cells come with it
        return plan if "gru" in plan or not self._gated else [*plan, "chrono"]

    def obstacle(self, name: str) -> str | None:
        """Why a remedy, "spectral" or one of the plan, cannot act on any layer; None if it can."""
        if name == "spectral" and not self._square:
            return "no layer has a square W that is a parameter"
        if name == "spectral" and not any(map(_is_expanding, self._square)):
            return "no W has a spectral radius above 1"
        if name == "chrono" and not any(map(_has_plain_biases, self._gated)):
            return "no layer has gates with biases that are parameters"
        if name == "identity" and not self._to_be_identity:
            return "no layer of simple cells has biases that are parameters"
        return None

    @property
    def _to_be_identity(self) -> list[Recurrent]:
        found = self._simple_square
        return [one for one in found if not one.bias or _has_plain_biases(one)]

    def apply(self, name: str, lag: int) -> None:
        """Does what a remedy says.

        Args:
            name: "spectral", or one of the plan.
            lag: how far back the answer lies.
        """
        match name:
            case "spectral":
                for layer in self._square:
                    remedies.spectral(layer, 1.0, at_most=True)
            case "orthogonal":
                for layer in self._square:
                    remedies.orthogonal(layer)
            case "identity":
                self._make_identity()
            case "gru":
                self._make_gated(lag)
            case _:
                self._set_chrono(lag)

    def _make_identity(self) -> None:
        self._change("nonlinearity", "relu")
        for layer in self._to_be_identity:
            remedies.identity(layer)
            for name, weight in layer.named_parameters():
                if name.startswith("weight_ih"):
                    weight.data.mul_(_SMALL)
        self._slow = True

    def _make_gated(self, lag: int) -> None:
        self._replaced = _simple(self.module)
        self._change("cell", "gru")
        self._set_chrono(lag)

    def _set_chrono(self, lag: int) -> None:
        for layer in filter(_has_plain_biases, self._gated):
            remedies.chrono(layer, lag)

    def _change(self, what: str, value: str) -> None:
        self.changed[what] = value
        apply_changes(self.module, {what: value})

    def weights(self) -> dict[str, Tensor]:
        """Copies of all weights."""
        return copied(self.module.state_dict())

    def undo(self, weights: dict[str, Tensor]) -> None:
        """Takes back what was changed, to weights of before."""
        self.become({}, weights)

    def become(self, changed: dict[str, str], weights: dict[str, Tensor]) -> None:
        """Makes the network again what it was when that and nothing else was changed about it, with
        the weights that it had.
        """
        for name, layer in self._replaced.items():
            _put(self.module, name, layer)
        self._replaced = {}
        for name, layer in _simple(self.module).items():
            change_cell(layer, nonlinearity=self._nonlinearities[name])
        self.load({"changed": changed, "slow": False})
        self.module.load_state_dict(weights)

    @contextmanager
    def stepping(self) -> Generator[None]:
        """For a step of the optimiser: where the remedy is the identity, W moves less far."""
        weights: list[Tensor] = []
        if self._slow:
            named = [pair for one in self._to_be_identity for pair in one.named_parameters()]
            weights = [w for name, w in named if name.startswith("weight_hh")]
        before = [w.detach().clone() for w in weights]
        yield
        for weight, start in zip(weights, before, strict=True):
            weight.data.lerp_(start, 1 - _SLOW)

    def state(self) -> dict[str, Any]:
        """What was done, for a checkpoint."""
        return {"changed": dict(self.changed), "slow": self._slow}

    def load(self, state: dict[str, Any]) -> None:
        """Makes the network what it was when `state` was asked; its weights are another matter."""
        self.changed, self._slow = dict(state["changed"]), state["slow"]
        if "cell" in self.changed:
            self._replaced = _simple(self.module)
        apply_changes(self.module, self.changed)


def _is_expanding(layer: Recurrent) -> bool:
    gates = [one for found in spectral_radius(layer).values() for one in found.values()]
    # as it is measured, to six digits
    return max(gates) > 1 + 1e-6


def _has_plain_weights(layer: Recurrent) -> bool:
    return _has_plain(layer, "weight_hh")


def _has_plain_biases(layer: Recurrent) -> bool:
    return _has_plain(layer, "bias_ih") and _has_plain(layer, "bias_hh")


def _has_plain(layer: Recurrent, kind: str) -> bool:
    """Whether all weights of a kind are there, as parameters that nothing computes."""
    named = [name for name, _ in layer.named_parameters(recurse=False)]
    plain = sum(name.startswith(kind) for name in named)
    return plain == layer.num_layers * layer.num_directions


def apply_changes(module: nn.Module, changed: dict[str, str]) -> None:
    """Makes a network what a remedy made of it: other nonlinearities or cells in place of its
    simple ones.

    Args:
        module: a network with recurrent layers.
        changed: as `Treatment.changed` holds it.

    Example:
        >>> import elman
        >>> network = nn.Sequential(elman.nn.RNN(2, 3))
        >>> apply_changes(network, {"cell": "gru"})
        >>> network[0]
        GRU(2, 3)
    """
    for what, value in changed.items():
        for name, one in _simple(module).items():
            if what == "cell" and one.fed_back:
                # a GRU feeds no output back
                continue
            made = change_cell(one, **{what: value})
            if made is not one:
                _put(module, name, made)


def _simple(module: nn.Module) -> dict[str, Any]:
    """The layers of simple cells, by name."""
    return {name: one for name, one in module.named_modules() if isinstance(one, RNN)}


def _put(module: nn.Module, name: str, layer: Recurrent) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, layer)
