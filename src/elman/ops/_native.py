"""The native kernels under autograd: the same kernel behind each door."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from elman.kernels import Call, Weights, cpu, inside_torch, reference, tensors_of, with_tensors

from ._changed import copied, keep_output, output_as_it_was
from ._choose import BackendError
from ._doors import Door
from ._gradient import gradient_of_reference, of_call, second_gradient
from ._operator import COUNT, scan_operator
from ._reversed import in_time
from ._widened import in_float32

States = tuple[Tensor, ...]
Tensors = Sequence[Tensor | None]


def scan(call: Call, way: Door) -> tuple[list[Tensor], States]:
    """Runs a call that `cpu` supports, by its door; the sequences are the output alone."""
    if call.input.dtype is torch.bfloat16 and (
        way is Door.REFERENCE or cpu.only_in_float32(call) is not None
    ):
        return in_float32(call, lambda wide: scan(wide, way))
    match way:
        case Door.EAGER:
            tensors = tensors_of(call)
            if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
                output, *after = _Scan.apply(call, *tensors)
            else:
                output, after, _ = cpu.forward(call, tensors, save=False)
        case Door.OPERATOR:
            output, *after = scan_operator(call)
        case Door.TRANSFORM:
            tensors = tensors_of(call)
            save = inside_torch.is_taking_gradient() or any(
                t is not None and t.requires_grad for t in tensors
            )
            found = _TransformedScan.apply(_kept(call), save, *tensors)
            output, *after = found[: 1 + len(call.cell.states)]
            # as for the operator
            output = output.clone() if save else output
        case Door.REFERENCE:
            return in_time(call, reference.scan)
    return [output], tuple(after)


_NOTHING = torch.empty(0)
_NO_WEIGHTS = Weights(_NOTHING, _NOTHING)


def without_tensors(call: Call) -> Call:
    """What an autograd function may keep: tensors are saved by autograd alone."""
    return Call(
        call.cell,
        _NO_WEIGHTS,
        _NOTHING,
        None,
        None,
        call.lengths,
        call.resets,
        call.traced,
        call.reverse,
        call.checkpointed,
        call.gradient_clip,
        call.watch,
        batch_sizes=call.batch_sizes,
    )


def _kept(call: Call) -> Call:
    """The same for a gradient."""
    kept = without_tensors(call)
    kept.lengths, kept.resets, kept.batch_sizes = copied(
        call.lengths, call.resets, call.batch_sizes
    )
    return kept


class _Scan(torch.autograd.Function):
    """Eager training of what `_StackScan` leaves: one function, no operator."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor | None) -> Any:
        output, after, saved = cpu.forward(call, tensors, save=True)
        ctx.call = _kept(call)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, keep_output(ctx, output), saved)
        return (output, *after)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        *tensors, output, saved = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        many = inside_torch.is_many(grads)
        if many and ctx.call.watch is not None:
            raise BackendError(
                f"{ctx.call.cell.name}: a watched layer takes one gradient at a time; give"
                " is_grads_batched=False, or watch no longer."
            )
        if many or torch.is_grad_enabled():
            with torch.enable_grad():
                found = gradient_of_reference(of_call(ctx.call), tensors, grads, needed)
                return (None, *found)
        output = output_as_it_was(ctx, output, lambda: _output_of(ctx.call, tensors))
        return (None, *cpu.backward(ctx.call, tensors, grads, needed, output, saved))


def _output_of(call: Call, tensors: Tensors) -> Tensor:
    return cpu.forward(with_tensors(call, tensors), tensors, save=False)[0]


class _TransformedScan(torch.autograd.Function):
    """Under `torch.func`: per-sample gradients, vmap over inputs and over stacked parameters."""

    @staticmethod
    def forward(call: Call, save: bool, *tensors: Tensor | None) -> Any:
        output, after, saved = cpu.forward(with_tensors(call, tensors), tensors, save)
        return (output, *after, output.new_empty(0) if saved is None else saved)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call = inputs[0]
        ctx.mark_non_differentiable(output[-1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[2:], output[0], output[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        needed = tuple(ctx.needs_input_grad[2:])
        found = iter(_TransformedGradient.apply(ctx.call, needed, *ctx.saved_tensors, *grads[:-1]))
        return (None, None, *(next(found) if need else None for need in needed))

    @staticmethod
    # torch's stub leaves the function's own arguments out
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: Any, call: Call, save: bool, *tensors: Tensor | None
    ) -> Any:
        dims = in_dims[2:]
        if not save and all(dims[i] is None for i in range(COUNT) if i not in _ROWS):
            return _folded(call, tensors, dims, info.batch_size)
        results = [
            _TransformedScan.apply(call, save, *_samples(tensors, dims, i))
            for i in range(info.batch_size)
        ]
        return _stacked(results)


class _TransformedGradient(torch.autograd.Function):
    """The gradient under `torch.func`; asked once more it is the reference's."""

    @staticmethod
    def forward(call: Call, needed: tuple[bool, ...], *all: Tensor | None) -> Any:
        tensors, (output, saved), grads = _parts(all)
        found = cpu.backward(call, tensors, grads, needed, output, saved)
        return tuple(one for one in found if one is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.call, ctx.needed = inputs[:2]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, *second: Any) -> Any:
        tensors, _, grads = _parts(ctx.saved_tensors)
        wanted = ctx.needs_input_grad[2:]
        asked = [*wanted[:COUNT], *wanted[COUNT + 2 :]]
        found = second_gradient(ctx.call, tensors, grads, ctx.needed, second, asked)
        return (None, None, *found[:COUNT], None, None, *found[COUNT:])

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: Any, call: Call, needed: Any, *all: Tensor | None
    ) -> Any:
        results = [
            _TransformedGradient.apply(call, needed, *_samples(all, in_dims[2:], i))
            for i in range(info.batch_size)
        ]
        return _stacked(results)


# the input and the states: the tensors that have rows
_ROWS = (0, 7, 8)


def _folded(call: Call, tensors: Tensors, dims: Sequence[int | None], size: int) -> Any:
    """Mapped rows with the same weights are a larger batch."""
    rows = list(tensors)
    for i in _ROWS:
        t = tensors[i]
        if t is not None:
            # the mapped dimension stands before that of the rows
            at = 1 if i == 0 else 0
            dim = dims[i]
            if dim is None:
                many = t.unsqueeze(at).expand(*t.shape[:at], size, *t.shape[at:])
            else:
                many = t.movedim(dim, at)
            rows[i] = many.flatten(at, at + 1)
    lengths = None if call.lengths is None else call.lengths.repeat(size)
    resets = None if call.resets is None else call.resets.repeat(1, size)
    call = replace(call, lengths=lengths, resets=resets)
    output, *after, _ = _TransformedScan.apply(call, False, *rows)
    found = (output.unflatten(1, (size, -1)), *(s.unflatten(0, (size, -1)) for s in after))
    return (*found, output.new_empty(0)), (1, *(0 for _ in after), None)


def _parts(all: Sequence[Any]) -> tuple[list[Any], tuple[Any, Any], list[Any]]:
    """The tensors of the call, output and saved, and the gradients."""
    return list(all[:COUNT]), (all[COUNT], all[COUNT + 1]), list(all[COUNT + 2 :])


def _samples(tensors: Tensors, dims: Sequence[int | None], i: int) -> list[Tensor | None]:
    """The i-th sample of each mapped tensor."""
    return [
        t if t is None or dim is None else t.select(dim, i)
        for t, dim in zip(tensors, dims, strict=True)
    ]


def _stacked(results: list[Any]) -> tuple[Any, Any]:
    """The samples' results side by side."""
    return tuple(torch.stack(one) for one in zip(*results, strict=True)), (0,) * len(results[0])
