"""The long short-term memory."""

from typing import Any

from elman.cells import lstm
from elman.ops import is_integer

from ._check import check_positive
from ._recurrent import Recurrent


class LSTM(Recurrent):
    r"""Long short-term memory over sequences; a drop-in for `torch.nn.LSTM`.

    .. math::
        i &= \sigma(U_i x + b_{ii} + W_i h + b_{hi}) \\
        f &= \sigma(U_f x + b_{if} + W_f h + b_{hf}) \\
        g &= \tanh(U_g x + b_{ig} + W_g h + b_{hg}) \\
        o &= \sigma(U_o x + b_{io} + W_o h + b_{ho}) \\
        c' &= f \odot c + i \odot g \\
        h' &= o \odot \tanh(c')

    With `proj_size` the state that is fed back and put out is :math:`h' = W_{hr} (o \odot
    \tanh(c'))`.

    Args:
        input_size: features of a step, I.
        hidden_size: units, H.
        num_layers: stacked layers, L; layer k reads the output of layer k - 1.
        bias: whether the layers have b_ih and b_hh.
        batch_first: whether batches are (B, T, ·) instead of (T, B, ·).
        dropout: probability with which an output between two layers is dropped in training.
        bidirectional: whether a second set of layers reads from the end to the start (D = 2).
        proj_size: size of the projection of h, smaller than H; 0 for none.
        device: where the parameters live.
        dtype: their type.
        init: "torch", or "recurrent": orthogonal W and Glorot U for each gate, zero biases but 1
            for the forget gate's b_ih.
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
        - hx: (h_0, c_0), (L * D, B, R) and (L * D, B, H); R is H or `proj_size`.
        - lengths: (B,) whole numbers from 0 to T: rows in any order. Behind its end a row's output
          is zero and its input is never read; its final state is its own last one; the reverse
          direction starts at its own end.
        - resets: bool, (T, B) or (B, T): where true, the state before that step is the initial
          state (not hx).
        - output: like the input, with D * R features. (h_n, c_n): like hx.

    Raises:
        ValueError: an argument or a shape does not fit; the text says which.
        elman.ops.BackendError: the forced backend cannot run the call.

    Reference:
        Hochreiter & Schmidhuber 1997, "Long short-term memory", Neural Computation 9. Gers,
        Schmidhuber & Cummins 2000, "Learning to forget", Neural Computation 12. Sak, Senior &
        Beaufays 2014, https://arxiv.org/abs/1402.1128 (projection). Jozefowicz, Zaremba &
        Sutskever 2015, ICML (forget bias 1).

    Example:
        >>> import torch, elman
        >>> lstm = elman.nn.LSTM(8, 16, bidirectional=True)
        >>> output, (h_n, c_n) = lstm(torch.randn(5, 3, 8), lengths=torch.tensor([5, 0, 2]))
        >>> output.shape, c_n.shape
        (torch.Size([5, 3, 32]), torch.Size([2, 3, 16]))
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
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
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
        check_positive("LSTM", "hidden_size", hidden_size)
        if not is_integer(proj_size) or not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"LSTM: proj_size={proj_size}; give a whole number below hidden_size={hidden_size},"
                " or 0 for none."
            )
        super().__init__(
            lstm.cell,
            input_size,
            hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            fed_back=("hr", proj_size) if proj_size else None,
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
        self.proj_size = proj_size
