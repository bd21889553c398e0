"""Which remedies help against what, the most promising first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elman.nn import Recurrent

if TYPE_CHECKING:
    from ._diagnosis import Diagnosis

Advice = tuple[tuple[str, str], ...]

_GATED = ("r", "z", "n"), ("i", "f", "g", "o")


def advice_for(found: Diagnosis, layers: list[Recurrent]) -> Advice:
    """The remedies for a diagnosis; each is a function of `elman.diagnostics.remedies` or an
    argument of that name.
    """
    gated = all(one.cell.gates in _GATED for one in layers)
    lag = found.needed or found.reach.steps
    match found.kind:
        case "vanishing":
            return _gated_vanishing(lag) if gated else _simple_vanishing()
        case "saturated":
            calm = (
                "lower lr",
                "a smaller step keeps the sums out of the flat ends of the nonlinearity",
            )
            return (calm, *(_gated_vanishing(lag) if gated else _simple_vanishing()))
        case "exploding" | "chaotic":
            return (
                ("gradient_clip", "bounds what each step hands to the one before, inside the pass"),
                ("clip_norm", "bounds the step that the optimiser takes"),
                ("spectral", "with at_most=True scales W to a spectral radius of at most 1"),
                ("lower lr", "the weights grew into this; go back to the last good ones first"),
            )
        case "dead":
            return (
                ("lower lr", "too large a step put the units where their slope is zero"),
                ("identity", "start again with W = I, which passes every value on"),
                ("nonlinearity", "leaky_relu or tanh has a slope everywhere"),
            )
        case "truncated too short":
            return (
                ("longer windows", f"gradients have to flow through {lag:,} steps"),
                ("checkpointed", "bptt='checkpointed' goes through all steps in little memory"),
            )
        case "narrow":
            return _narrow(layers, lag)
        case _:
            return ()


def _simple_vanishing() -> Advice:
    return (
        ("orthogonal", "W with all its eigenvalues on the unit circle hands gradients on"),
        ("keep_orthogonal", "and a parametrisation keeps it so while it learns"),
        ("identity", "W = I with relu hands gradients on unchanged"),
        ("flow_penalty", "a term of the loss that keeps the gradient's size from step to step"),
        ("cell", "gru or lstm carry their state by a sum, not by a product"),
    )


def _narrow(layers: list[Recurrent], lag: int) -> Advice:
    units = ("hidden_size", "more units carry more numbers side by side")
    if all("c" in one.cell.states for one in layers):
        return (
            ("chrono", f"gate biases spread over lags up to {lag:,} keep many units open at once"),
            units,
        )
    return (
        ("cell", "lstm carries each unit's c by itself, so that as many numbers arrive"),
        ("orthogonal", "W with all its eigenvalues on the unit circle favours no direction"),
        ("keep_orthogonal", "and a parametrisation keeps it so while it learns"),
        units,
    )


def _gated_vanishing(lag: int) -> Advice:
    return (
        ("chrono", f"gate biases spread over lags up to {lag:,}, so that some units keep so long"),
        ("forget_bias", "a larger bias keeps more of the state at each step"),
        ("longer training", "gates can learn to stay open; look whether the reach grows"),
        ("gradient_clip", "with a larger lr, so that the plateau is left"),
    )
