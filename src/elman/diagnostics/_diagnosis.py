"""What the gradient through time means for a model and its data, in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from elman.nn import Recurrent
from elman.ops import is_integer

from ._advice import advice_for
from ._measures import spectral_radius, states_of
from ._need import Need
from ._probe import Probe, probe_run, traced_run
from ._reach import GONE, Reach, median_curve, reach_from_json, reach_of
from ._width import width_run

KINDS = (
    "healthy",
    "vanishing",
    "exploding",
    "chaotic",
    "saturated",
    "dead",
    "truncated too short",
    "narrow",
)
# a gradient that has grown so far on its way overrules every other term of the loss
_GROWN = 1e3
# shares of units
_MOST, _HALF = 0.98, 0.5
# what `to_json` says of the other entries
_SAID = ("can_learn", "sentence")
# what is said of whether a model can learn
_LEARNING = {
    True: "this model can learn it.",
    False: "this model cannot learn it as it is.",
    None: "these sequences are too short to tell whether it arrives there.",
}
# nonlinearities whose values have limits
_BOUNDED = ("tanh", "sigmoid", "hardtanh", "hard_sigmoid", "softsign", "sin")


@dataclass(frozen=True)
class Diagnosis:
    """What was found, what it means, and what helps; printing it gives the text.

    Args:
        kind: one of `KINDS`.
        reach: how far back the gradient of a loss at the end reaches, in the layer that carries it
            furthest.
        needed: how far back the answer lies; None if that is not known.
        window: steps that a gradient may go through at most; None for all.
        reaches: the reach of each layer and direction, by its name.
        saturated: the share of saturated values of each gate, by the module's name and the gate.
        dead: the share of dead units.
        radius: the spectral radius of each gate's W, by parameter and gate.
        finite: whether everything measured is finite.
        remedies: what helps, the most promising first: the name of a remedy and why.
        curve: the mean norm by lag, in units of that at lag 0.
        carried: how many numbers of the answer have to be carried at once; None if that is not
            known.
        width: in how many directions the gradient arrives where the answer lies; None where that
            was not asked, or it does not arrive.
    """

    kind: str
    reach: Reach
    needed: int | None
    window: int | None
    reaches: dict[str, Reach]
    saturated: dict[str, float]
    dead: float
    radius: dict[str, float]
    finite: bool
    remedies: tuple[tuple[str, str], ...] = ()
    curve: Any = field(default=(), repr=False, compare=False)
    carried: int | None = None
    width: int | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether the gradient arrives in fewer directions than there are numbers to carry."""
        return self.width is not None and self.carried is not None and self.width < self.carried

    @property
    def can_learn(self) -> bool | None:
        """Whether the gradient arrives where the answer lies, in enough directions; None where that
        is not known.
        """
        if self.is_narrow or self.kind in ("exploding", "chaotic", "dead"):
            return False
        if self.needed is None:
            return None
        lag = self.reach.lag
        if self.window is not None and self.window < self.needed:
            return False
        if lag is None:
            # a gradient that reaches all of the sequences says nothing of lags that they have not
            return True if self.needed < self.reach.steps else None
        return lag >= self.needed

    @property
    def growth(self) -> float:
        """The largest norm on the way back, in units of that at the end."""
        known = [one for one in np.asarray(self.curve, dtype=float).tolist() if not math.isnan(one)]
        return max(known, default=1.0)

    def __str__(self) -> str:
        lines = [f"{self.kind}: {self.sentence()}"]
        lines += [f"  {line}" for line in self.evidence()]
        lines += [f"  {n}. {name}: {why}" for n, (name, why) in enumerate(self.remedies, 1)]
        return "\n".join(lines)

    def sentence(self) -> str:
        """The finding, beside what the data needs."""
        reach = self.reach
        if not self.finite:
            return (
                "the states or the gradient on its way back are not finite: the data or the weights"
                " hold such numbers, or grow into them."
            )
        said = _going(reach)
        if self.needed is not None:
            said += f" the answer lies {_steps(self.needed)} back"
            if self.is_narrow and self.carried is not None:
                said += (
                    f" and has {_numbers(self.carried)}, for which the gradient arrives in"
                    f" {self.width} directions"
                )
            said += ": " + _LEARNING[self.can_learn]
        elif reach.lag is None:
            said += " it reaches all that these sequences hold."
        else:
            said += " whether that is enough depends on how far back the answer lies."
        return said

    def evidence(self) -> list[str]:
        """The numbers behind it."""
        # what is not finite has no rate and no reach
        lines = self._reached() if self.finite else []
        if self.window is not None:
            lines.append(f"the gradient is cut after {_steps(self.window)}")
        lines += [
            f"{name}: {share:.0%} of the values within 2 % of their limits"
            for name, share in sorted(self.saturated.items())
            if share >= 0.25
        ]
        if self.width is not None and self.carried is not None and not self.is_narrow:
            lines.append(
                f"at lag {self.needed} in {self.width} directions, for {_numbers(self.carried)}"
            )
        if self.dead > 0:
            lines.append(f"{self.dead:.0%} of the units never move")
        lines += [
            f"spectral radius of {name}: {one:.3g}" for name, one in sorted(self.radius.items())
        ]
        return lines

    def _reached(self) -> list[str]:
        reach = self.reach
        lines = [
            f"rate {reach.rate:.3g} a step ({reach.rate_low:.3g} to {reach.rate_high:.3g} over"
            f" {reach.sequences} sequences), Lyapunov exponent {reach.exponent:.3g}"
        ]
        if reach.lag is not None:
            high = f"{reach.high:.0f}" if reach.high is not None else f"over {reach.steps - 1}"
            lines.append(f"reach {reach.lag} of {_steps(reach.steps)} ({reach.low:.0f} to {high})")
        else:
            lines.append(f"reach: all {_steps(reach.steps)}")
        return lines

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Diagnosis:
        """The diagnosis that `to_json` gave, without its curve.

        Example:
            >>> import torch, elman
            >>> found = diagnose(elman.nn.GRU(2, 3), torch.randn(9, 4, 2))
            >>> str(Diagnosis.from_json(found.to_json())) == str(found)
            True
        """
        known = {name: value for name, value in found.items() if name not in _SAID}
        known["reach"] = reach_from_json(found["reach"])
        known["reaches"] = {name: reach_from_json(one) for name, one in found["reaches"].items()}
        known["remedies"] = tuple((one["name"], one["why"]) for one in found["remedies"])
        return cls(**known)

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as plain numbers and words."""
        found = asdict(replace(self, curve=()))
        del found["curve"]
        return found | {
            "can_learn": self.can_learn,
            "sentence": self.sentence(),
            "remedies": [{"name": name, "why": why} for name, why in self.remedies],
        }


def diagnose(
    model: nn.Module,
    *args: Any,
    loss: Callable[[Any], Tensor] | None = None,
    needed: int | Need | None = None,
    carried: int | None = None,
    window: int | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> Diagnosis:
    """Measures how a model carries gradients through time, and says what that means.

    Args:
        model: a module with layers of `elman.nn`, or such a layer.
        args: what it is called with, sequences held out from training.
        loss: as for `probe`.
        needed: how far back the answer lies, a number of steps or what `need` found; None if it is
            not known.
        carried: how many numbers of the answer have to be carried so far at once, where a class out
            of C counts C - 1; None does not ask for the width, which is measured where the gradient
            arrives at all.
        window: steps that gradients flow through in training; None for all.
        seed: of the probe's directions.
        kwargs: what else the model is called with.

    Raises:
        ValueError: as `probe`, or a number of steps or of numbers cannot be.

    Example:
        >>> import torch, elman
        >>> rnn = elman.nn.RNN(1, 8, init="recurrent")
        >>> with torch.no_grad():
        ...     _ = rnn.weight_hh_l0.mul_(0.5)
        >>> found = elman.diagnostics.diagnose(rnn, torch.randn(60, 4, 1), needed=40)
        >>> found.kind, found.can_learn
        ('vanishing', False)
    """
    return diagnose_run(
        model,
        partial(model, *args, **kwargs),
        loss=loss,
        needed=needed,
        carried=carried,
        window=window,
        seed=seed,
    )


def diagnose_run(
    model: nn.Module,
    run: Callable[[], Any],
    *,
    loss: Callable[[Any], Tensor] | None = None,
    needed: int | Need | None = None,
    carried: int | None = None,
    window: int | None = None,
    directions: int = 4,
    seed: int = 0,
) -> Diagnosis:
    """As `diagnose`, with the model's call spelled out: `run()` calls it."""
    lag = _whole(needed.lag if isinstance(needed, Need) else needed, "needed")
    carried, window = _whole(carried, "carried"), _whole(window, "window")
    probed = probe_run(model, run, loss=loss, directions=directions, seed=seed)
    layers = {n: one for n, one in model.named_modules() if isinstance(one, Recurrent)}
    saturated: dict[str, float] = {}
    dead: list[float] = []
    finite = probed.finite
    for name, (traces, lengths) in traced_run(model, run).items():
        found = states_of(layers[name], traces, lengths)
        saturated |= {_join(name, gate): share for gate, share in found.saturated.items()}
        dead.append(found.dead)
        finite = finite and found.finite
    radius = {
        f"{_join(name, weight)} ({gate})": one
        for name, layer in layers.items()
        for weight, gates in spectral_radius(layer).items()
        for gate, one in gates.items()
    }
    # states that are not finite may hand a finite gradient on: relu has no slope where a sum is NaN
    probed = replace(probed, finite=finite)
    found = _found(probed, lag, window, saturated, float(np.mean(dead)), radius)
    arrives = lag is not None and (found.reach.lag is None or found.reach.lag >= lag)
    if carried is not None and lag is not None and arrives and found.finite:
        found = replace(found, carried=carried, width=width_run(model, run, lag, seed=seed))
    found = replace(found, kind=_kind(found, list(layers.values())))
    return replace(found, remedies=advice_for(found, list(layers.values())))


def _whole(value: Any, name: str) -> int | None:
    if value is None or (is_integer(value) and value >= 0):
        return None if value is None else int(value)
    raise ValueError(f"diagnose: {name}={value!r}; give a whole number from 0 on, or None.")


def _found(
    probed: Probe,
    needed: int | None,
    window: int | None,
    saturated: dict[str, float],
    dead: float,
    radius: dict[str, float],
) -> Diagnosis:
    with np.errstate(all="ignore"):
        furthest = probed.furthest
        reach = reach_of(furthest)
        curve = median_curve(furthest)
    reaches = {str(place): reach_of(_relative(one)) for place, one in probed.norms.items()}
    return Diagnosis(
        "healthy", reach, needed, window, reaches, saturated, dead, radius, probed.finite, (), curve
    )


def _relative(norms: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return norms / norms[:1]


def _kind(found: Diagnosis, layers: list[Recurrent]) -> str:
    """The class, the gravest first."""
    reach, steps = found.reach, found.reach.steps
    bounded = all(one.cell.f is None or one.cell.f.name in _BOUNDED for one in layers)
    if not found.finite:
        return "exploding"
    if found.dead >= _MOST:
        return "dead"
    if found.growth > _GROWN and reach.rate_low > 1:
        # states that cannot grow while their gradient does: neighbours part, as in chaos
        return "chaotic" if bounded else "exploding"
    window, needed = found.window, found.needed
    arrives = window is None or reach.lag is None or reach.lag >= window
    if window is not None and needed is not None and window < needed and arrives:
        return "truncated too short"
    goal = found.needed if found.needed is not None else steps // 2
    if reach.lag is not None and reach.lag < goal:
        stuck = max(found.saturated.values(), default=0.0) >= _HALF
        return "saturated" if stuck else "vanishing"
    return "narrow" if found.is_narrow else "healthy"


def _going(reach: Reach) -> str:
    """What the gradient does on its way back."""
    if math.isnan(reach.rate):
        return "sequences are too short to measure a rate;"
    if reach.rate > 1 and reach.at(reach.steps) > 10:
        return (
            f"gradients grow by {reach.rate:.3g} a step: {reach.at(reach.steps):.1e} times over"
            f" {_steps(reach.steps)};"
        )
    if reach.lag is not None and reach.at(reach.lag) > 10 * GONE:
        return (
            f"gradients keep their size and then fall: under 1 % is left after {_steps(reach.lag)};"
        )
    if reach.lag is not None:
        return (
            f"gradients shrink by {_factor(reach.rate)} a step: after {_steps(reach.lag)} under"
            " 1 % is left;"
        )
    return f"gradients keep over 1 % of their size through {_steps(reach.steps)};"


def _factor(rate: float) -> str:
    """A rate with two digits of what it lacks to 1."""
    digits = 2 if rate >= 1 or rate <= 0 else 1 - math.floor(math.log10(1 - rate))
    return f"{rate:.{digits}f}".rstrip("0").rstrip(".") if rate > 0.01 else f"{rate:.2g}"


def _steps(n: int) -> str:
    return f"{n:,} step" if n == 1 else f"{n:,} steps"


def _numbers(n: int) -> str:
    return f"{n:,} number" if n == 1 else f"{n:,} numbers"


def _join(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name
