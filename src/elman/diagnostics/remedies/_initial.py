"""Weights to start from."""

import math
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from elman.diagnostics._measures import largest_modulus
from elman.nn import Recurrent
from elman.ops import is_integer, is_number

from ._weights import edited, names_of, squares_of, wide

# the gate that keeps the state, and the one that lets the new in against it
_KEEPS: dict[tuple[str, ...], tuple[str, str | None]] = {
    ("i", "f", "g", "o"): ("f", "i"),
    ("r", "z", "n"): ("z", None),
}


def orthogonal(layer: Recurrent) -> None:
    """Sets each gate's W to a random orthogonal matrix: all eigenvalues on the unit circle.

    Raises:
        ValueError: W is not square gate by gate, or a parametrisation of it cannot make it so.

    Reference:
        Saxe, McClelland & Ganguli 2014, https://arxiv.org/abs/1312.6120

    Example:
        >>> import torch, elman
        >>> rnn = elman.nn.RNN(2, 3)
        >>> orthogonal(rnn)
        >>> w = rnn.weight_hh_l0.detach()
        >>> torch.allclose(w @ w.T, torch.eye(3), atol=1e-6)
        True
    """
    with _square_blocks(layer, "orthogonal") as blocks:
        for block in blocks:
            block.copy_(nn.init.orthogonal_(torch.empty_like(block, dtype=wide(block))))


def is_orthogonal(layer: Recurrent) -> bool:
    """Whether each gate's W is an orthogonal matrix, to four digits, or those that its type has.

    Raises:
        ValueError: W is not square gate by gate.

    Example:
        >>> import elman
        >>> is_orthogonal(elman.nn.RNN(2, 3)), is_orthogonal(elman.nn.RNN(2, 3, init="recurrent"))
        (False, True)
    """
    weights = squares_of(layer, "is_orthogonal").values()
    return all(_is_orthogonal(one) for w in weights for one in w.chunk(len(layer.cell.gates)))


def _is_orthogonal(block: Tensor) -> bool:
    near = max(1e-4, torch.finfo(block.dtype).eps)
    block = block.to(wide(block))
    return torch.allclose(block @ block.T, torch.eye(len(block)).to(block), atol=near)


def spectral(layer: Recurrent, radius: float = 1.0, *, at_most: bool = False) -> None:
    """Scales each gate's W so that the largest modulus of its eigenvalues is `radius`.

    Args:
        layer: the layer.
        radius: above zero.
        at_most: whether a gate with a smaller radius stays as it is, as against an explosion;
            otherwise it is scaled up.

    Raises:
        ValueError: the radius is not above zero, W is not square gate by gate, or a parametrisation
            of it cannot make it so.

    Reference:
        Jaeger 2001, "The echo state approach to analysing and training recurrent neural networks",
        GMD report 148.

    Example:
        >>> import elman
        >>> rnn = elman.nn.RNN(2, 3)
        >>> spectral(rnn, 0.9)
        >>> round(elman.diagnostics.spectral_radius(rnn)["weight_hh_l0"]["h"], 4)
        0.9
    """
    if not is_number(radius) or not 0 < radius < math.inf:
        raise ValueError(f"spectral: radius={radius!r}; give a number above zero.")
    with _square_blocks(layer, "spectral") as blocks:
        for block in blocks:
            largest = largest_modulus(block)
            if largest > (radius if at_most else 0):
                block.mul_(radius / largest)


def identity(layer: Recurrent) -> None:
    """Sets each gate's W to the identity and the biases to zero; best with relu (IRNN).

    Raises:
        ValueError: W is not square gate by gate, or a parametrisation of it or of a bias cannot
            make it so.

    Reference:
        Le, Jaitly & Hinton 2015, https://arxiv.org/abs/1504.00941

    Example:
        >>> import elman
        >>> rnn = elman.nn.RNN(2, 3, nonlinearity="relu")
        >>> identity(rnn)
        >>> rnn.weight_hh_l0.tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    squares = squares_of(layer, "identity")
    kinds = ("bias_ih", "bias_hh") if layer.bias else ()
    biases = [name for kind in kinds for name in names_of(layer, kind)]
    with edited(layer, "identity", [*squares, *biases]) as weights:
        for name in squares:
            for block in weights[name].chunk(len(layer.cell.gates)):
                nn.init.eye_(block)
        for name in biases:
            weights[name].zero_()


def forget_bias(layer: Recurrent, bias: float = 1.0) -> None:
    """Sets the bias of the gate that keeps the state: f of an LSTM, z of a GRU.

    Raises:
        ValueError: the bias is no number, the layer has no biases, its cell no such gate, or a
            parametrisation of a bias cannot make it so.

    Reference:
        Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015.

    Example:
        >>> import elman
        >>> lstm = elman.nn.LSTM(2, 1)
        >>> forget_bias(lstm, 2.0)
        >>> (lstm.bias_ih_l0 + lstm.bias_hh_l0)[1].item()
        2.0
    """
    if not is_number(bias) or not math.isfinite(bias):
        raise ValueError(f"forget_bias: bias={bias!r}; give a number.")
    with _gate_biases(layer, "forget_bias") as biases:
        for keeps, _ in biases:
            keeps[0].fill_(bias)
            keeps[1].zero_()


def chrono(layer: Recurrent, lag: int) -> None:
    """Draws the bias of the gate that keeps the state so that its units forget over lags from 2 up
    to `lag`: log(U(1, lag - 1)); an LSTM's input gate gets the opposite.

    Args:
        layer: an LSTM or a GRU.
        lag: the longest lag that is expected to matter, at least 3.

    Raises:
        ValueError: the lag is too small, the layer has no biases, its cell no such gate, or a
            parametrisation of a bias cannot make it so.

    Reference:
        Tallec & Ollivier 2018, https://arxiv.org/abs/1804.11188

    Example:
        >>> import elman
        >>> gru = elman.nn.GRU(2, 64)
        >>> chrono(gru, 100)
        >>> 0 <= gru.bias_ih_l0[64:128].min().item() <= gru.bias_ih_l0[64:128].max().item() < 4.6
        True
    """
    if not is_integer(lag) or lag < 3:
        raise ValueError(f"chrono: lag={lag!r}; give a whole number of steps from 3 on.")
    with _gate_biases(layer, "chrono") as biases:
        for keeps, lets_in in biases:
            keeps[0].uniform_(1, lag - 1).log_()
            keeps[1].zero_()
            if lets_in is not None:
                lets_in[0].copy_(-keeps[0])
                lets_in[1].zero_()


@contextmanager
def _square_blocks(layer: Recurrent, where: str) -> Generator[list[Tensor]]:
    """Each gate's W, to be changed in place."""
    names = [*squares_of(layer, where)]
    with edited(layer, where, names) as weights:
        yield [block for w in weights.values() for block in w.chunk(len(layer.cell.gates))]


Pair = tuple[Tensor, Tensor]


@contextmanager
def _gate_biases(layer: Recurrent, where: str) -> Generator[list[tuple[Pair, Pair | None]]]:
    """b_ih and b_hh of the gate that keeps, and of the one that lets in, where it is another, to be
    changed in place.
    """
    gates = layer.cell.gates
    if gates not in _KEEPS:
        raise ValueError(f"{where}: {layer.cell.name} has no gate that keeps its state.")
    if not layer.bias:
        raise ValueError(f"{where}: the layer has no biases; make it with bias=True.")
    keeps, lets_in = _KEEPS[gates]
    named = [*zip(names_of(layer, "bias_ih"), names_of(layer, "bias_hh"), strict=True)]
    with edited(layer, where, [name for pair in named for name in pair]) as biases:

        def part(gate: str) -> list[Pair]:
            at = gates.index(gate)
            return [
                (biases[ih].chunk(len(gates))[at], biases[hh].chunk(len(gates))[at])
                for ih, hh in named
            ]

        other = [None] * len(named) if lets_in is None else part(lets_in)
        yield [*zip(part(keeps), other, strict=True)]
