"""Recurrent weights that stay orthogonal while they are learned."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman.nn import Recurrent

from ._weights import edited, parametrizations_of, squares_of, wide

# steps of the iteration that takes a nearly orthogonal matrix to an orthogonal one
_ITERATIONS = 2


class _Orthogonal(nn.Module):
    """Each gate's W = Q exp(A - Aᵀ), from a start Q."""

    def __init__(self, start: Tensor, gates: int) -> None:
        super().__init__()
        self.gates = gates
        self.start: Tensor
        self.register_buffer("start", _nearest(start.detach(), gates))

    def forward(self, a: Tensor) -> Tensor:
        """W (G * H, H) from A (G * H, H)."""
        blocks = a.unflatten(0, (self.gates, -1))
        turned = torch.linalg.matrix_exp(blocks - blocks.mT)
        return (self.start.unflatten(0, (self.gates, -1)) @ turned).flatten(0, 1)

    def right_inverse(self, w: Tensor) -> Tensor:
        """A = 0 stands for the start, which is the nearest to W."""
        self.start.copy_(_nearest(w, self.gates))
        return torch.zeros_like(w)


def _nearest(w: Tensor, gates: int) -> Tensor:
    """The orthogonal matrix that is nearest to each gate's W."""
    u, _, v = torch.linalg.svd(w.unflatten(0, (gates, -1)).double())
    return (u @ v).flatten(0, 1).to(w)


def keep_orthogonal(layer: Recurrent) -> None:
    """Makes each gate's W an orthogonal matrix and parametrises it so that it stays one:
    W = Q exp(A - Aᵀ), where A is what is learned.

    `torch.nn.utils.parametrize.remove_parametrizations` makes it a plain parameter again.

    Raises:
        ValueError: W is not square gate by gate, or no parameter but computed by something else.

    Reference:
        Lezcano-Casado & Martínez-Rubio 2019, https://arxiv.org/abs/1901.08428

    Example:
        >>> import torch, elman
        >>> rnn = elman.nn.RNN(2, 3)
        >>> keep_orthogonal(rnn)
        >>> rnn(torch.randn(5, 1, 2))[0].sum().backward()
        >>> torch.optim.SGD(rnn.parameters(), 0.1).step()
        >>> w = rnn.weight_hh_l0.detach()
        >>> torch.allclose(w @ w.T, torch.eye(3), atol=1e-5)
        True
    """
    squares = squares_of(layer, "keep_orthogonal")
    # what is kept already stays as it is
    named = {name: w for name, w in squares.items() if not _is_kept(layer, name)}
    for name in named:
        if not isinstance(getattr(layer, name), nn.Parameter):
            raise ValueError(
                f"keep_orthogonal: {name} is no parameter, but computed by something (a"
                " parametrisation, a pruning); remove that first."
            )
    for name, weight in named.items():
        made = _Orthogonal(weight, len(layer.cell.gates))
        parametrize.register_parametrization(layer, name, made)


def _is_kept(layer: Recurrent, name: str) -> bool:
    return any(isinstance(one, _Orthogonal) for one in parametrizations_of(layer, name))


def project_orthogonal(layer: Recurrent) -> None:
    """Moves each gate's W, already nearly orthogonal, to the orthogonal matrix beside it, in place;
    for after each step of an optimiser.

    Two steps of Newton's iteration W ← W (3 I - Wᵀ W) / 2.

    Raises:
        ValueError: W is not square gate by gate, or a parametrisation of it cannot make it so.

    Reference:
        Björck & Bowie 1971, SIAM Journal on Numerical Analysis 8.

    Example:
        >>> import torch, elman
        >>> rnn = elman.nn.RNN(2, 3, init="recurrent")
        >>> with torch.no_grad():
        ...     _ = rnn.weight_hh_l0.add_(0.01)
        >>> project_orthogonal(rnn)
        >>> w = rnn.weight_hh_l0.detach()
        >>> torch.allclose(w @ w.T, torch.eye(3), atol=1e-4)
        True
    """
    with edited(layer, "project_orthogonal", [*squares_of(layer, "project_orthogonal")]) as weights:
        for weight in weights.values():
            w = weight.to(wide(weight)).unflatten(0, (len(layer.cell.gates), -1))
            for _ in range(_ITERATIONS):
                w = 1.5 * w - 0.5 * w @ (w.mT @ w)
            weight.copy_(w.flatten(0, 1))
