"""Which way into the native kernels a call takes.

A test runs every door against the reference with the installed torch.
"""

from enum import Enum, auto

import torch
from torch import Tensor
from torch.nn import Parameter

from elman.kernels import Call, inside_torch, tensors_of


class Door(Enum):
    """A way to a kernel.

    `EAGER` is a plain autograd function, or the kernel itself; `OPERATOR` one of torch's operators,
    which compilers and dispatch modes see; `TRANSFORM` an autograd function for `torch.func`;
    `REFERENCE` no kernel at all.
    """

    EAGER = auto()
    OPERATOR = auto()
    TRANSFORM = auto()
    REFERENCE = auto()


def door(call: Call) -> Door:
    """The door for a call that the native kernels support."""
    if torch.compiler.is_compiling():
        return Door.REFERENCE if inside_torch.is_transforming() else Door.OPERATOR
    if inside_torch.is_forward_mode():
        # a tangent must not be dropped
        return Door.REFERENCE
    if inside_torch.is_transforming():
        return Door.TRANSFORM
    if (
        inside_torch.is_dispatching()
        or inside_torch.is_tracing()
        or not all(tensor is None or is_common(tensor) for tensor in tensors_of(call))
    ):
        return Door.OPERATOR
    return Door.EAGER


def is_common(tensor: Tensor) -> bool:
    """Whether a tensor is one of torch's own kinds, none that a transform has left behind, and its
    numbers stand in memory as they are.
    """
    kind = type(tensor)
    return kind is Parameter or (
        kind is Tensor and not inside_torch.is_wrapped(tensor) and not tensor.is_neg()
    )
