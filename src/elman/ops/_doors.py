"""Which way into the native kernels a call takes: the private names of torch that tell are here.

A test runs every door against the reference with the installed torch.
"""

from enum import Enum, auto

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman.kernels import Call


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
    transforming = torch._C._are_functorch_transforms_active()
    if torch.compiler.is_compiling():
        return Door.REFERENCE if transforming else Door.OPERATOR
    if forward_ad._current_level >= 0:
        # a tangent must not be dropped
        return Door.REFERENCE
    if transforming:
        return Door.TRANSFORM
    if torch._C._len_torch_dispatch_stack() > 0 or type(call.input) not in _PLAIN:
        return Door.OPERATOR
    return Door.EAGER


def wants_gradient() -> bool:
    """Whether one of the running transforms of `torch.func` takes a gradient."""
    functorch = torch._C._functorch
    return any(
        one.key() == functorch.TransformType.Grad for one in functorch.get_interpreter_stack() or ()
    )


_PLAIN = (Tensor, torch.nn.Parameter)
