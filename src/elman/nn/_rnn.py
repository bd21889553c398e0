"""The simple recurrent network, Elman's and Jordan's."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from elman.cells import Nonlinearity, rnn

from ._check import check_one_of, check_positive
from ._recurrent import Recurrent

Function = str | Nonlinearity | Callable[[Tensor], Tensor]


class RNN(Recurrent):
    r"""Simple recurrent network over sequences; a drop-in for `torch.nn.RNN`.

    .. math::
        h(t) = f(U x(t) + b_{ih} + W h(t-1) + b_{hh})

    With `feedback="output"` it is Jordan's network, whose output has its own layer V and is what
    is fed back and put out:

    .. math::
        h(t) &= f(U x(t) + b_{ih} + W o(t-1) + b_{hh}) \\
        o(t) &= g(V h(t) + c)

    Args:
        input_size: features of a step, I.
        hidden_size: units, H.
        num_layers: stacked layers, L; layer k reads the output of layer k - 1.
        nonlinearity: f, "tanh", "relu" or any other name in `elman.cells.NONLINEARITIES`, or a
            function of one array.
        bias: whether the layers have b_ih, b_hh and c.
        batch_first: whether batches are (B, T, ·) instead of (T, B, ·).
        dropout: probability with which an output between two layers is dropped in training.
        bidirectional: whether a second set of layers reads from the end to the start (D = 2).
        device: where the parameters live.
        dtype: their type.
        feedback: "hidden" (Elman) or "output" (Jordan).
        output_size: O of the output layer, with `feedback="output"`; H if None.
        output_nonlinearity: g of the output layer, with `feedback="output"`.
        init: "torch", or "recurrent": orthogonal W (the identity with relu, as in IRNN), Glorot U,
            zero biases.
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
        - hx: (L * D, B, R), the state before the first step; R is H, or O with `feedback="output"`.
        - lengths: (B,) whole numbers from 0 to T: rows in any order. Behind its end a row's output
          is zero and its input is never read; its final state is its own last one; the reverse
          direction starts at its own end.
        - resets: bool, (T, B) or (B, T): where true, the state before that step is the initial
          state (not hx).
        - output: like the input, with D * R features. h_n: (L * D, B, R).

    Raises:
        ValueError: an argument or a shape does not fit; the text says which.
        elman.ops.BackendError: the forced backend cannot run the call.

    Reference:
        Elman 1990, "Finding structure in time", Cognitive Science 14. Jordan 1986, "Serial order:
        a parallel distributed processing approach". Le, Jaitly & Hinton 2015,
        https://arxiv.org/abs/1504.00941 (IRNN).

    Example:
        >>> import torch, elman
        >>> rnn = elman.nn.RNN(8, 16, nonlinearity="softsign")
        >>> output, h_n = rnn(torch.randn(5, 3, 8), lengths=torch.tensor([5, 0, 2]))
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 16]), torch.Size([1, 3, 16]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Function = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        feedback: str = "hidden",
        output_size: int | None = None,
        output_nonlinearity: Function = "identity",
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
        check_one_of("RNN", "feedback", feedback, ("hidden", "output"))
        fed_back = None
        if feedback == "output":
            size = hidden_size if output_size is None else output_size
            check_positive("RNN", "output_size", size)
            fed_back = ("ho", size)
        elif output_size is not None:
            raise ValueError(
                f"RNN: output_size={output_size} needs an output layer;"
                ' give feedback="output" with it.'
            )
        elif output_nonlinearity != "identity":
            raise ValueError(
                f"RNN: output_nonlinearity={output_nonlinearity!r} needs an output layer;"
                ' give feedback="output" with it.'
            )
        super().__init__(
            rnn.cell(nonlinearity, output_nonlinearity),
            input_size,
            hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            fed_back=fed_back,
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
        self.nonlinearity, self.feedback = nonlinearity, feedback
