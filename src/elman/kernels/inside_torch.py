"""What only torch's private names tell: which transform or mode a call runs under.

They are used here and nowhere else; `tests/ops/test_ops_doors.py` holds them against the installed
torch.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_c: Any = getattr(torch, "_C")  # noqa: B009
_forward_ad: Any = forward_ad


def is_transforming() -> bool:
    """Whether a transform of `torch.func` is running."""
    return _c._are_functorch_transforms_active()


def is_taking_gradient() -> bool:
    """Whether one of the running transforms of `torch.func` takes a gradient."""
    functorch = _c._functorch
    stack = functorch.get_interpreter_stack() or ()
    return any(one.key() == functorch.TransformType.Grad for one in stack)


def is_forward_mode() -> bool:
    """Whether tangents are carried along."""
    return _forward_ad._current_level >= 0


def is_dispatching() -> bool:
    """Whether a dispatch mode looks at every operator."""
    return _c._len_torch_dispatch_stack() > 0


def is_tracing() -> bool:
    """Whether `torch.jit.trace` records what is called."""
    # a compiler knows no recorder, nor the question
    return not torch.compiler.is_compiling() and _c._is_tracing()


def is_watched() -> bool:
    """Whether a transform, tangents, a dispatch mode, a recorder or autocast changes what a call
    means; not to be asked while compiling.
    """
    return (
        _has_transforms()
        or _has_recorder()
        or _forward_ad._current_level >= 0
        or _count_modes() > 0
        or _has_autocast()
    )


# every short call asks for all of them
_has_transforms, _has_recorder = _c._are_functorch_transforms_active, _c._is_tracing
_count_modes, _has_autocast = _c._len_torch_dispatch_stack, _c._is_any_autocast_enabled


@cache
def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16, in tiles or vectors, as torch's kernels do."""
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    # bool() is False: a torch without such a name does not tell
    return any(getattr(torch.cpu, name, bool)() for name in names)


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor's numbers can be looked at: it is no fake, mapped or functional one."""
    return type(tensor) is Tensor and not is_wrapped(tensor)


is_wrapped = _c._functorch.is_functorch_wrapped_tensor
"""Whether a tensor belongs to a transform of `torch.func`, which may have ended."""


def is_many(grads: Sequence[Tensor | None]) -> bool:
    """Whether they are many at once, as `torch.autograd.grad(is_grads_batched=True)` has them, or a
    `vmap` around it.
    """
    asked: Any = _c._functorch.is_legacy_batchedtensor
    return any(one is not None and (asked(one) or is_wrapped(one)) for one in grads)


def apply_plainly(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """`function.apply` outside of all transforms, for tensors that are not wrapped; torch's own
    looks for both in every call.
    """
    single: Any = super(torch.autograd.Function, function)
    return single.apply(*arguments)
