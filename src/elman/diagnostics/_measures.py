"""What the weights and the states say beside the gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from elman.nn import Recurrent, Trace

# a gate or unit is saturated within this part of its range from its limits
NEAR = 0.02
# a unit whose value moves less is dead
_STILL = 1e-6
# how often a matrix is squared for its largest eigenvalue, to about 1e-6 of it
_SQUARINGS = 24
# the range of what is bounded, by the nonlinearity
_RANGES: dict[str, tuple[float, float]] = {
    "tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softsign": (-1.0, 1.0),
    "sin": (-1.0, 1.0),
}
_OF_GATE = {"g": "tanh", "n": "tanh"}


@dataclass(frozen=True)
class States:
    """How the states and gates of a layer behave on data.

    Args:
        saturated: for each gate (a simple cell's nonlinearity is its gate "h") the share of its
            values within 2 % of its limits; what is not bounded is left out.
        dead: the share of units whose value is the same at all steps of all sequences.
        finite: whether all states and outputs are finite.
    """

    saturated: dict[str, float]
    dead: float
    finite: bool = True


def states_of(layer: Recurrent, traces: list[Trace], lengths: Any = None) -> States:
    """Measures the states of a layer, from its trace.

    Args:
        layer: the layer.
        traces: what `layer.trace` gave.
        lengths: (B,), or None where every sequence has T steps.

    Example:
        >>> import torch, elman
        >>> gru = elman.nn.GRU(3, 4)
        >>> found = states_of(gru, gru.trace(torch.randn(9, 2, 3)))
        >>> sorted(found.saturated), found.dead
        (['n', 'r', 'z'], 0.0)
    """
    counts: dict[str, list[Tensor]] = {}
    dead: list[Tensor] = []
    finite = True
    for trace in traces:
        every = [alive(layer, one, lengths) for one in (trace.output, *trace.states.values())]
        finite = finite and all(bool(one.isfinite().all()) for one in every)
        values = {name: alive(layer, gate, lengths) for name, gate in trace.gates.items()}
        hidden = alive(layer, trace.states[layer.cell.states[0]], lengths)
        if layer.cell.f is not None:
            values = {"h": hidden}
        for name, value in values.items():
            counts.setdefault(name, []).append(value)
        dead.append((hidden.amax(0) - hidden.amin(0) < _STILL).double())
    saturated: dict[str, float] = {}
    for name, values in counts.items():
        span = range_of(layer, name)
        if span is not None:
            both = torch.cat([v.flatten() for v in values])
            saturated[name] = float(_is_near(both, span).double().mean())
    return States(saturated, float(torch.cat(dead).mean()), finite)


def range_of(layer: Recurrent, gate: str) -> tuple[float, float] | None:
    """The limits of a gate's values; None if it has none."""
    f = layer.cell.f
    return _RANGES.get(f.name if f is not None else _OF_GATE.get(gate, "sigmoid"))


def _is_near(values: Tensor, span: tuple[float, float]) -> Tensor:
    low, high = span
    near = NEAR * (high - low)
    return (values < low + near) | (values > high - near)


def alive(layer: Recurrent, value: Tensor, lengths: Any) -> Tensor:
    """The values (N, H) of the steps that sequences have."""
    value = value.detach()
    if layer.batch_first and value.dim() == 3:
        value = value.transpose(0, 1)
    if lengths is None:
        return value.reshape(-1, value.shape[-1])
    there = torch.arange(len(value))[:, None] < torch.as_tensor(lengths)[None]
    return value[there.to(value.device)]


def spectral_radius(layer: Recurrent) -> dict[str, dict[str, float]]:
    """The largest modulus of the eigenvalues of each gate's square of W, by the weight's name.

    Example:
        >>> import torch, elman
        >>> rnn = elman.nn.RNN(3, 4, init="recurrent")
        >>> round(spectral_radius(rnn)["weight_hh_l0"]["h"], 4)
        1.0
    """
    found: dict[str, dict[str, float]] = {}
    for number in range(layer.num_layers):
        for direction in range(layer.num_directions):
            name = f"weight_hh_l{number}" + ("_reverse" if direction else "")
            # a parametrisation computes it
            w = getattr(layer, name).detach().double().cpu()
            if layer.fed_back:
                out = getattr(layer, name.replace("hh", layer.fed_back[0])).detach().double().cpu()
                w = w @ out
            found[name] = {
                gate: largest_modulus(block)
                for gate, block in zip(
                    layer.cell.gates, w.chunk(len(layer.cell.gates)), strict=True
                )
            }
    return found


def largest_modulus(w: Tensor) -> float:
    r"""The largest modulus of a square matrix's eigenvalues, :math:`\lim \|W^k\|^{1/k}`.

    k grows by squaring, to 2^24. For 512 rows that takes a quarter of the time of all eigenvalues,
    and it needs no eigenvector: a matrix that has too few is no special case.

    Reference:
        Gelfand 1941, "Normierte Ringe", Matematicheskii Sbornik 9.

    Example:
        >>> import torch
        >>> round(largest_modulus(torch.tensor([[0.0, 4.0], [-1.0, 0.0]])), 6)
        2.0
    """
    power, log = w.double(), 0.0
    for doubled in range(_SQUARINGS + 1):
        norm = float(power.norm())
        if not 0 < norm < math.inf:
            return norm
        log += math.log(norm) / 2**doubled
        power = power / norm
        power = power @ power
    return math.exp(log)


def update_ratios(before: dict[str, Tensor], model: nn.Module) -> dict[str, float]:
    """How far each parameter moved in units of its own norm.

    Args:
        before: copies of the parameters, by name, from before an optimiser's step.
        model: as it is after it.

    Example:
        >>> import torch
        >>> linear = torch.nn.Linear(2, 2)
        >>> before = {name: p.detach().clone() for name, p in linear.named_parameters()}
        >>> sorted(update_ratios(before, linear).values())
        [0.0, 0.0]
    """
    found: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if name in before:
            size = float(before[name].norm())
            moved = float((parameter.detach() - before[name]).norm())
            found[name] = moved / size if size else (0.0 if moved == 0 else float("inf"))
    return found
