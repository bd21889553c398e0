"""The gated recurrent unit."""

from typing import Any

from elman.cells import gru, gru_reset_before

from ._check import check_one_of
from ._recurrent import Recurrent


class GRU(Recurrent):
    r"""Gated recurrent unit over sequences; a drop-in for `torch.nn.GRU`.

    .. math::
        r &= \sigma(U_r x + b_{ir} + W_r h + b_{hr}) \\
        z &= \sigma(U_z x + b_{iz} + W_z h + b_{hz}) \\
        n &= \tanh(U_n x + b_{in} + r \odot (W_n h + b_{hn})) \\
        h' &= n + z \odot (h - n)

    The reset gate acts after the product W_n h (arXiv:1406.1078v1, as cuDNN and torch do). With
    `reset_gate="before"` it acts before it, as in the published version (v3): :math:`n = \tanh(U_n
    x + b_{in} + W_n (r \odot h) + b_{hn})`.

    Args:
        input_size: features of a step, I.
        hidden_size: units, H.
        num_layers: stacked layers, L; layer k reads the output of layer k - 1.
        bias: whether the layers have b_ih and b_hh.
        batch_first: whether batches are (B, T, ·) instead of (T, B, ·).
        dropout: probability with which an output between two layers is dropped in training.
        bidirectional: whether a second set of layers reads from the end to the start (D = 2).
        device: where the parameters live.
        dtype: their type.
        reset_gate: "after" or "before" the product.
        init: "torch", or "recurrent": orthogonal W and Glorot U for each gate, zero biases.
        initial_state: what a sequence starts from, and what `resets` set back to: "zeros", or
            "learned" parameters.
        recurrent_dropout: probability with which an entry of W is dropped for a whole call in
            training (DropConnect).
        backend: "auto" takes the fastest backend that supports the call; another of
            `elman.ops.BACKENDS` forces one.
        bptt: how the gradient goes back: "full" keeps what it needs of every step, "checkpointed"
            about √T states, and makes the rest again; the gradients are the same, on the native
            kernels bit for bit.
        gradient_clip: bound of the norm of the gradient that each sequence's state hands to the
            step before, applied at every step of the way back; None for none.
        residual: whether every layer above the first adds its input to its output (He et al. 2016,
            arXiv:1512.03385).
        zoneout: probability with which an entry of a state stays as it was for a step in training;
            otherwise the mean is taken (Krueger et al. 2017, arXiv:1606.01305). On the reference.
        layer_norm: whether U x and W h are normalised over the gates' units at each step, with
            gains of their own (Ba, Kiros & Hinton 2016, arXiv:1607.06450). On the reference.

    Shape:
        - input: (T, B, I), (B, T, I) with `batch_first`, (T, I) for one sequence, or a
          PackedSequence.
        - hx: (L * D, B, H), the state before the first step.
        - lengths: (B,) whole numbers from 0 to T: rows in any order. Behind its end a row's output
          is zero and its input is never read; its final state is its own last one; the reverse
          direction starts at its own end.
        - resets: bool, (T, B) or (B, T): where true, the state before that step is the initial
          state (not hx).
        - output: like the input, with D * H features. h_n: (L * D, B, H).

    Raises:
        ValueError: an argument or a shape does not fit; the text says which.
        elman.ops.BackendError: the forced backend cannot run the call.

    Reference:
        Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation",
        https://arxiv.org/abs/1406.1078

    Example:
        >>> import torch, elman
        >>> gru = elman.nn.GRU(8, 16)
        >>> output, h_n = gru(torch.randn(5, 3, 8), lengths=torch.tensor([5, 0, 2]))
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 16]), torch.Size([1, 3, 16]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        reset_gate: str = "after",
        init: str = "torch",
        initial_state: str = "zeros",
        recurrent_dropout: float = 0.0,
        backend: str = "auto",
        bptt: str = "full",
        gradient_clip: float | None = None,
        residual: bool = False,
        zoneout: float = 0.0,
        layer_norm: bool = False,
    ) -> None:
        check_one_of("GRU", "reset_gate", reset_gate, ("after", "before"))
        super().__init__(
            gru.cell if reset_gate == "after" else gru_reset_before.cell,
            input_size,
            hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            fed_back=None,
            device=device,
            dtype=dtype,
            init=init,
            initial_state=initial_state,
            recurrent_dropout=recurrent_dropout,
            backend=backend,
            bptt=bptt,
            gradient_clip=gradient_clip,
            residual=residual,
            zoneout=zoneout,
            layer_norm=layer_norm,
        )
        self.reset_gate = reset_gate
