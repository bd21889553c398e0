"""A layer's weights by name, whatever computes them, and how they are set."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman.nn import Recurrent

# how far what a parametrisation makes of a value may lie from it, in units of its largest number
_NEAR = 1e-4


def names_of(layer: Recurrent, kind: str) -> list[str]:
    """The names of a kind of weights ("weight_hh"), of each layer of the stack and direction."""
    suffixes = ("", "_reverse")[: layer.num_directions]
    return [f"{kind}_l{number}{one}" for number in range(layer.num_layers) for one in suffixes]


def squares_of(layer: Recurrent, where: str) -> dict[str, Tensor]:
    """Each W by its name, as it is now.

    Raises:
        ValueError: it is not square gate by gate.
    """
    found = {name: getattr(layer, name).detach() for name in names_of(layer, "weight_hh")}
    for name, weight in found.items():
        if weight.shape[1] * len(layer.cell.gates) != weight.shape[0]:
            raise ValueError(
                f"{where}: {name} of shape {tuple(weight.shape)} is not square gate by gate (the"
                " output or a projection is fed back); this remedy needs it square."
            )
    return found


def parametrizations_of(layer: Recurrent, name: str) -> list[nn.Module]:
    """What computes a weight, in order; empty where nothing does."""
    if not parametrize.is_parametrized(layer, name):
        return []
    found = layer.parametrizations
    assert isinstance(found, nn.ModuleDict)
    return [*found[name].children()]


def wide(weight: Tensor) -> torch.dtype:
    """The type in which matrices of a weight are decomposed: torch has no such routine for less
    than float32.
    """
    return torch.promote_types(weight.dtype, torch.float32)


@contextmanager
def edited(layer: Recurrent, where: str, names: list[str]) -> Generator[dict[str, Tensor]]:
    """Copies of weights, by name, to be changed in place; at the end the layer has all of them.

    Raises:
        ValueError: (at the end) a weight cannot be set to its value; then all are as they were.
    """
    found = {name: getattr(layer, name) for name in names}
    values = {name: one.detach().clone() for name, one in found.items()}
    with torch.no_grad():
        yield values
        plain = {name for name, one in found.items() if isinstance(one, nn.Parameter)}
        # what a parametrisation keeps beside its parameters is set with them
        state = {} if len(plain) == len(found) else layer.state_dict()
        before = {name: one.clone() for name, one in state.items()}
        try:
            for name in [one for one in names if one not in plain]:
                _set_computed(layer, where, name, values[name])
        except ValueError:
            layer.load_state_dict(before)
            raise
        for name in plain:
            found[name].copy_(values[name])


def _set_computed(layer: Recurrent, where: str, name: str, value: Tensor) -> None:
    """Sets a weight by way of its parametrisation."""
    parts = parametrizations_of(layer, name)
    if not parts:
        raise ValueError(
            f"{where}: {name} is no parameter, but computed by something that cannot be set (a"
            " pruning, an old weight_norm); remove that first, or call this before it."
        )
    kinds = ", ".join(type(one).__name__ for one in parts)
    refused = (
        f"{where}: {name} is parametrised by {kinds}, which cannot make what is needed; call"
        f' torch.nn.utils.parametrize.remove_parametrizations(layer, "{name}") first.'
    )
    try:
        setattr(layer, name, value)
    except (RuntimeError, ValueError) as error:
        raise ValueError(refused) from error
    made = getattr(layer, name)
    # rounded where the parametrisation multiplies
    near = max(_NEAR, 4 * torch.finfo(value.dtype).eps)
    if not bool((made - value).abs().max() <= near * value.abs().max()):
        raise ValueError(refused)
