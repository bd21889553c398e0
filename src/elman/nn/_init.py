"""Initial weights: torch's own, or ones chosen for learning over many steps."""

import math
from typing import Any

import torch
from torch import Tensor, nn


def initialise_like_torch(layer: Any) -> None:
    """Every parameter uniform in ±1 / sqrt(H); the same seed gives torch.nn's weights. A learned
    initial state starts at zero.
    """
    bound = 1 / math.sqrt(layer.hidden_size)
    for name, parameter in layer.named_parameters():
        if name.startswith("initial_"):
            nn.init.zeros_(parameter)
        elif name.startswith("norm_"):
            nn.init.ones_(parameter)
        else:
            nn.init.uniform_(parameter, -bound, bound)


def initialise(layer: Any) -> None:
    """Orthogonal recurrent blocks, Glorot input blocks, zero biases and a forget-gate bias of 1,
    gate by gate.

    With relu the recurrent block is the identity (IRNN: Le, Jaitly & Hinton 2015,
    arXiv:1504.00941). Orthogonal: Saxe, McClelland & Ganguli 2014, arXiv:1312.6120. Glorot &
    Bengio 2010. Forget bias: Gers, Schmidhuber & Cummins 2000; Jozefowicz et al. 2015.
    """
    cell = layer.cell
    is_relu = cell.f is not None and cell.f.name == "relu"
    for name, parameter in layer.named_parameters():
        with torch.no_grad():
            if name.startswith("weight_hh"):
                for block in parameter.chunk(len(cell.gates)):
                    nn.init.eye_(block) if is_relu else _make_orthogonal(block)
            elif name.startswith("weight_ih"):
                for block in parameter.chunk(len(cell.gates)):
                    nn.init.xavier_uniform_(block)
            elif name.startswith("norm_"):
                nn.init.ones_(parameter)
            elif name.startswith("weight_"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)
            if name.startswith("bias_ih") and cell.states == ("h", "c"):
                _forget_block(cell.gates, parameter).fill_(1.0)


def _make_orthogonal(block: Tensor) -> None:
    # torch decomposes no matrix of less than float32
    dtype = torch.promote_types(block.dtype, torch.float32)
    block.copy_(nn.init.orthogonal_(torch.empty_like(block, dtype=dtype)))


def _forget_block(gates: tuple[str, ...], bias: Tensor) -> Tensor:
    return bias.chunk(len(gates))[gates.index("f")]
