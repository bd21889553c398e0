"""The native kernels as two of torch's operators, for compilers, exporters and dispatch modes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from elman.kernels import Call, Weights, cpu, inside_torch, name_of, tensors_of, with_tensors

from ._gradient import second_gradient

_TENSORS = (
    "Tensor input, Tensor ih, Tensor hh, Tensor? bias_ih, Tensor? bias_hh, Tensor? ho,"
    " Tensor? bias_ho, Tensor? state_0, Tensor? state_1, Tensor? initial_0, Tensor? initial_1"
)
_REST = (
    "Tensor? lengths, Tensor? resets, str cell, str output, bool reverse, bool checkpointed,"
    " float? gradient_clip"
)
COUNT = 11

_library = Library("elman", "DEF")
_library.define(f"scan({_TENSORS}, {_REST}, bool save) -> (Tensor, Tensor, Tensor, Tensor)")
_library.define(
    f"scan_gradient({_TENSORS}, {_REST}, Tensor out, Tensor saved, Tensor? dout, Tensor? dfinal_0,"
    " Tensor? dfinal_1, bool[] needed) -> Tensor[]"
)


def scan_operator(call: Call) -> list[Tensor]:
    """The output and the final states of a call that `cpu` supports, by way of the operator."""
    tensors = tensors_of(call)
    save = any(t is not None and t.requires_grad for t in tensors) and (
        torch.is_grad_enabled() or inside_torch.is_tracing()
    )
    name = name_of(call.cell)
    rest = (call.lengths, call.resets, name, call.cell.output.name, call.reverse)
    rest += (call.checkpointed, call.gradient_clip)
    found = torch.ops.elman.scan.default(*tensors, *rest, save)
    output, *after = found[: 1 + len(call.cell.states)]
    # an output may be changed in place, and the gradient reads it; what is exported runs forward
    if save and not torch.compiler.is_exporting():
        output = output.clone()
    return [output, *after]


def _call(tensors: Sequence[Tensor | None], rest: Sequence[Any]) -> Call:
    """The call behind an operator's arguments."""
    lengths, resets, name, output, reverse, checkpointed, gradient_clip = rest
    nothing = torch.empty(0)
    call = Call(
        cpu.cell_named(name, output),
        Weights(nothing, nothing),
        nothing,
        None,
        None,
        lengths,
        resets,
        reverse=reverse,
        checkpointed=checkpointed,
        gradient_clip=gradient_clip,
    )
    return with_tensors(call, tensors)


def _scan(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tensors, rest, save = arguments[:COUNT], arguments[COUNT:-1], arguments[-1]
    call = _call(tensors, rest)
    output, after, saved = cpu.forward(call, tensors, save, compact=False)
    return (
        output,
        after[0],
        after[1] if len(after) > 1 else output.new_empty(0),
        output.new_empty(0) if saved is None else saved,
    )


def _scan_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tensors, rest, save = arguments[:COUNT], arguments[COUNT:-1], arguments[-1]
    input = tensors[0]
    call = _call(tensors, rest)
    steps, batch = input.shape[:2]
    size = cpu.saved_size(call, compact=False) if save else 0
    return (
        input.new_empty(steps, batch, call.widths[0]),
        input.new_empty(batch, call.widths[0]),
        input.new_empty(batch, call.widths[1]) if len(call.widths) > 1 else input.new_empty(0),
        input.new_empty(size),
    )


def _gradient(*arguments: Any) -> list[Tensor]:
    tensors, rest = arguments[:COUNT], arguments[COUNT:-6]
    output, saved, *grads, needed = arguments[-6:]
    call = _call(tensors, rest)
    grads = grads[: 1 + len(call.cell.states)]
    found = cpu.backward(call, tensors, grads, needed, output, saved)
    return [one for one in found if one is not None]


def _gradient_fake(*arguments: Any) -> list[Tensor]:
    tensors, needed = arguments[:COUNT], arguments[-1]
    return [t.new_empty(t.shape) for t, need in zip(tensors, needed, strict=True) if need]


for _name, _kernel, _fake in (
    ("scan", _scan, _scan_fake),
    ("scan_gradient", _gradient, _gradient_fake),
):
    _library.impl(_name, _kernel, "CPU")
    torch.library.register_fake(f"elman::{_name}", _fake, lib=_library)


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.rest = inputs[COUNT + 2 : -1]
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[3])
    ctx.save_for_backward(*inputs[: COUNT + 2], output[0], output[3])


def _backward(ctx: Any, *grads: Any) -> Any:
    *tensors, out, saved = ctx.saved_tensors
    given, rest = tensors[:COUNT], (*tensors[COUNT:], *ctx.rest)
    needed = [
        bool(need) and t is not None
        for need, t in zip(ctx.needs_input_grad[:COUNT], given, strict=True)
    ]
    found = iter(
        torch.ops.elman.scan_gradient.default(*given, *rest, out, saved, *grads[:3], needed)
    )
    none = (None,) * (len(rest) + 1)
    return (*(next(found) if need else None for need in needed), *none)


def _keep_gradient(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.rest, ctx.needed = inputs[COUNT + 2 : COUNT + 7], inputs[-1]
    # output and saved are functions of the rest
    ctx.save_for_backward(*inputs[: COUNT + 2], *inputs[-4:-1])


def _backward_gradient(ctx: Any, second: Any) -> Any:
    *tensors, dout, dfinal_0, dfinal_1 = ctx.saved_tensors
    call = _call(tensors[:COUNT], (*tensors[COUNT:], *ctx.rest))
    grads = [dout, dfinal_0, dfinal_1][: 1 + len(call.cell.states)]
    asked = [*ctx.needs_input_grad[:COUNT], *ctx.needs_input_grad[-4:-1][: len(grads)]]
    found = second_gradient(call, tensors[:COUNT], grads, ctx.needed, second, asked)
    last = found[COUNT:] + [None] * (3 - len(grads))
    return (*found[:COUNT], *(None,) * 9, *last, None)


torch.library.register_autograd("elman::scan", _backward, setup_context=_keep, lib=_library)
torch.library.register_autograd(
    "elman::scan_gradient", _backward_gradient, setup_context=_keep_gradient, lib=_library
)
