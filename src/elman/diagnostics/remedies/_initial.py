"""Weights to start from."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from elman.diagnostics._measures import largest_modulus
from elman.nn import Recurrent

# the gate that keeps the state, and the one that lets the new in against it
_KEEPS: dict[tuple[str, ...], tuple[str, str | None]] = {
    ("i", "f", "g", "o"): ("f", "i"),
    ("r", "z", "n"): ("z", None),
}


def orthogonal(layer: Recurrent) -> None:
    """Sets each gate's W to a random orthogonal matrix: all eigenvalues on the unit circle.

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
    with torch.no_grad():
        for block in _blocks(layer):
            nn.init.orthogonal_(block)


def is_orthogonal(layer: Recurrent) -> bool:
    """Whether each gate's W is an orthogonal matrix, to four digits.

    Example:
        >>> import elman
        >>> is_orthogonal(elman.nn.RNN(2, 3)), is_orthogonal(elman.nn.RNN(2, 3, init="recurrent"))
        (False, True)
    """
    return all(
        torch.allclose(block @ block.T, torch.eye(len(block)).to(block), atol=1e-4)
        for block in _blocks(layer)
    )


def spectral(layer: Recurrent, radius: float = 1.0) -> None:
    """Scales each gate's W so that the largest modulus of its eigenvalues is `radius`.

    Raises:
        ValueError: the radius is not above zero.

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
    if not radius > 0:
        raise ValueError(f"spectral: radius={radius}; give a number above zero.")
    with torch.no_grad():
        for block in _blocks(layer):
            largest = largest_modulus(block)
            if largest > 0:
                block.mul_(radius / largest)


def identity(layer: Recurrent) -> None:
    """Sets each gate's W to the identity and the biases to zero; best with relu (IRNN).

    Reference:
        Le, Jaitly & Hinton 2015, https://arxiv.org/abs/1504.00941

    Example:
        >>> import elman
        >>> rnn = elman.nn.RNN(2, 3, nonlinearity="relu")
        >>> identity(rnn)
        >>> rnn.weight_hh_l0.tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    with torch.no_grad():
        for block in _blocks(layer):
            nn.init.eye_(block)
        for name, parameter in layer.named_parameters():
            if name.startswith(("bias_ih", "bias_hh")):
                parameter.zero_()


def forget_bias(layer: Recurrent, bias: float = 1.0) -> None:
    """Sets the bias of the gate that keeps the state: f of an LSTM, z of a GRU.

    Raises:
        ValueError: the layer has no biases, or its cell no such gate.

    Reference:
        Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015.

    Example:
        >>> import elman
        >>> lstm = elman.nn.LSTM(2, 1)
        >>> forget_bias(lstm, 2.0)
        >>> (lstm.bias_ih_l0 + lstm.bias_hh_l0)[1].item()
        2.0
    """
    with torch.no_grad():
        for keeps, _ in _gate_biases(layer, "forget_bias"):
            keeps[0].fill_(bias)
            keeps[1].zero_()


def chrono(layer: Recurrent, lag: int) -> None:
    """Draws the bias of the gate that keeps the state so that its units forget over lags from 2 up
    to `lag`: log(U(1, lag - 1)); an LSTM's input gate gets the opposite.

    Args:
        layer: an LSTM or a GRU.
        lag: the longest lag that is expected to matter, at least 3.

    Raises:
        ValueError: the lag is too small, the layer has no biases, or its cell no such gate.

    Reference:
        Tallec & Ollivier 2018, https://arxiv.org/abs/1804.11188

    Example:
        >>> import elman
        >>> gru = elman.nn.GRU(2, 64)
        >>> chrono(gru, 100)
        >>> 0 <= gru.bias_ih_l0[64:128].min().item() <= gru.bias_ih_l0[64:128].max().item() < 4.6
        True
    """
    if lag < 3:
        raise ValueError(f"chrono: lag={lag}; give a whole number of steps from 3 on.")
    with torch.no_grad():
        for keeps, lets_in in _gate_biases(layer, "chrono"):
            keeps[0].uniform_(1, lag - 1).log_()
            keeps[1].zero_()
            if lets_in is not None:
                lets_in[0].copy_(-keeps[0])
                lets_in[1].zero_()


def _weights(layer: Recurrent) -> Iterator[Tensor]:
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_hh"):
            yield parameter


def _blocks(layer: Recurrent) -> Iterator[Tensor]:
    """Each gate's W, in place."""
    for weight in _weights(layer):
        if weight.shape[1] * len(layer.cell.gates) != weight.shape[0]:
            raise ValueError(
                f"{type(layer).__name__}: W of shape {tuple(weight.shape)} is not square gate by"
                " gate (the output or a projection is fed back); this remedy needs it square."
            )
        yield from weight.chunk(len(layer.cell.gates))


Pair = tuple[Tensor, Tensor]


def _gate_biases(layer: Recurrent, where: str) -> Iterator[tuple[Pair, Pair | None]]:
    """b_ih and b_hh of the gate that keeps, and of the one that lets in, where it is another."""
    gates = layer.cell.gates
    if gates not in _KEEPS:
        raise ValueError(f"{where}: {layer.cell.name} has no gate that keeps its state.")
    if not layer.bias:
        raise ValueError(f"{where}: the layer has no biases; make it with bias=True.")
    keeps, lets_in = _KEEPS[gates]
    named = dict(layer.named_parameters())
    for name in [one for one in named if one.startswith("bias_ih")]:
        pair = named[name].chunk(len(gates)), named[name.replace("ih", "hh")].chunk(len(gates))
        kept = tuple(one[gates.index(keeps)] for one in pair)
        let = None if lets_in is None else tuple(one[gates.index(lets_in)] for one in pair)
        yield (kept[0], kept[1]), None if let is None else (let[0], let[1])
