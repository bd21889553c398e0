"""Torch's own kernels: oneDNN for an LSTM on a CPU, cuDNN on a GPU, ATen's loop for the rest.

They know no lengths and no resets; these are run as dense pieces, which is faster than torch's
packed sequences.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import inside_torch
from ._call import Call
from ._segments import States, are_values_known, scan_pieces


def unsupported(call: Call) -> str | None:
    """Why torch has no kernel for the call; None if it has one."""
    if call.only_on_reference is not None:
        return call.only_on_reference
    if call.traced:
        return "torch's kernels keep the gates to themselves"
    if call.checkpointed:
        return "torch's kernels keep every step for the gradient"
    if call.watch is not None or call.gradient_clip is not None:
        return "torch's kernels keep the gradients of the states to themselves"
    if inside_torch.is_transforming():
        return "torch's kernels have no rules for the transforms of torch.func"
    if (call.lengths is not None or call.resets is not None) and not are_values_known(call):
        return "torch's kernels know no lengths and resets, and their values are not known yet"
    if _kernel(call) is None:
        if call.cell.two_products:
            return "torch's GRU has its reset gate after the product"
        if call.cell.f is not None:
            return f"torch's RNN knows tanh and relu, not {call.cell.f.name}"
        return f"torch has no kernel for the cell {call.cell.name}"
    if call.weights.bias_ho is not None or call.cell.output.name != "identity":
        return "torch's kernels do not feed an output layer back"
    if call.weights.ho is not None and call.cell.native != "lstm":
        return f"torch has no {call.cell.name} with a projection"
    return None


def scan(call: Call) -> tuple[list[Tensor], States]:
    """Runs the call; the sequences are the output alone, (T, B, R)."""
    kernel = _kernel(call)
    if kernel is None:
        raise TypeError(f"torch has no kernel for the cell {call.cell.name}.")
    w = call.weights
    parameters = [p for p in (w.ih, w.hh, w.bias_ih, w.bias_hh, w.ho) if p is not None]
    has_biases = w.bias_ih is not None
    is_lstm = call.cell.native == "lstm"

    def run(input: Tensor, state: States) -> tuple[list[Tensor], States]:
        if input.shape[0] == 0:
            return [input.new_empty(0, input.shape[1], state[0].shape[-1])], state
        hx = [s.unsqueeze(0) for s in state]
        # training: cuDNN keeps what the backward needs only then, also for a layer in eval mode
        # (a recorder compares with and without a gradient)
        training = torch.is_grad_enabled() and not inside_torch.is_tracing()
        arguments = (parameters, has_biases, 1, 0.0, training, False, False)
        output, *after = kernel(input, hx if is_lstm else hx[0], *arguments)
        return [output], tuple(s[0] for s in after)

    return scan_pieces(call, run)


def _kernel(call: Call) -> Callable[..., Any] | None:
    """Torch's function for the cell."""
    # the public functions of these names, which torch's type stubs leave out
    kernels: Any = torch
    # by name: a copy of a cell that comes out of a pickle is another object
    names = {
        "lstm": kernels.lstm,
        "gru": kernels.gru,
        "rnn_tanh": kernels.rnn_tanh,
        "rnn_relu": kernels.rnn_relu,
    }
    return names.get(str(call.cell.native))
