"""Layers of a cell of the user's own."""

from typing import Any

from elman.cells import Cell

from ._recurrent import Recurrent


class CustomRNN(Recurrent):
    """Layers of any cell over sequences, with everything that `RNN`, `GRU` and `LSTM` can do.

    Where a C++ compiler is present, the cell is compiled for the native kernels at its first call,
    in seconds, and kept by its text for later programs; otherwise the reference runs it.
    `elman.explain` says which.

    Args:
        cell: the recurrence: straight-line functions in the vocabulary of `elman.cells`.
        input_size: features of a step, I.
        hidden_size: units, H.
        num_layers: stacked layers, L; layer k reads the output of layer k - 1.
        bias: whether the layers have b_ih and b_hh.
        batch_first: whether batches are (B, T, ·) instead of (T, B, ·).
        dropout: probability with which an output between two layers is dropped in training.
        bidirectional: whether a second set of layers reads from the end to the start (D = 2).
        device: where the parameters live.
        dtype: their type.
        init: "torch", or "recurrent": orthogonal W and Glorot U for each gate, zero biases.
        initial_state: "zeros", or "learned" parameters.
        recurrent_dropout: probability with which an entry of W is dropped for a whole call in
            training.
        backend: "auto", or one of `elman.ops.BACKENDS`.
        bptt: "full" or "checkpointed", as for `GRU`.
        gradient_clip: as for `GRU`.
        residual: as for `GRU`.
        zoneout: as for `GRU`.
        layer_norm: as for `GRU`.

    Shape:
        As `GRU` for a cell of one state, as `LSTM` for two.

    Raises:
        ValueError: an argument or a shape does not fit; the text says which.
        elman.ops.BackendError: the forced backend cannot run the call.

    Example:
        >>> import torch, elman
        >>> layer = elman.nn.CustomRNN(elman.cells.gru.cell, 8, 16)
        >>> layer(torch.randn(5, 3, 8))[0].shape
        torch.Size([5, 3, 16])
    """

    def __init__(
        self,
        cell: Cell,
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
        if not isinstance(cell, Cell):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"CustomRNN: cell is a {type(cell).__name__}; give an elman.cells.Cell."
            )
        super().__init__(
            cell,
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
