"""Single steps as modules: drop-ins for torch.nn.RNNCell, GRUCell and LSTMCell."""

from typing import Any

import torch
from torch import Tensor, nn

from elman.cells import Cell, gru, gru_reset_before, lstm, rnn
from elman.ops import (
    Call,
    Weights,
    check_backend,
    is_lowered,
    scan,
    tensors_of,
    with_tensors,
)

from ._check import (
    INITS,
    check_dtype,
    check_flag,
    check_one_of,
    check_positive,
    check_state,
    check_states_dtype,
    check_tensor,
)
from ._init import initialise, initialise_like_torch
from ._quickly import step_quickly
from ._repr import described
from ._rnn import Function

States = tuple[Tensor, ...]


class RecurrentCell(nn.Module):
    """One step of one layer; abstract, made concrete by `RNNCell`, `GRUCell` and `LSTMCell`."""

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        bias: bool,
        device: Any,
        dtype: Any,
        init: str,
        backend: str,
    ) -> None:
        super().__init__()
        where = type(self).__name__
        check_positive(where, "input_size", input_size)
        check_positive(where, "hidden_size", hidden_size)
        check_flag(where, "bias", bias)
        check_one_of(where, "init", init, INITS)
        check_backend(backend, where)
        self.cell, self.init, self.backend = cell, init, backend
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = len(cell.gates) * hidden_size

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.weight_ih, self.weight_hh = parameter(rows, input_size), parameter(rows, hidden_size)
        self.bias_ih: nn.Parameter | None
        self.bias_hh: nn.Parameter | None
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, parameter(rows) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew, as `init` says."""
        if self.init == "torch":
            initialise_like_torch(self)
        else:
            initialise(self)

    def _states(self, input: Tensor, hx: Any) -> States:
        """One step: the new states, in the form of the input."""
        found = step_quickly(self, input, hx)
        if found is not None:
            return found
        where = f"{type(self).__name__}.forward"
        check_tensor(where, "input", input)
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"{where}: input has shape {tuple(input.shape)},"
                f" expected (B, {self.input_size}) or ({self.input_size},)."
            )
        # a parametrisation computes them anew each time
        weights = Weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        check_dtype(where, input, weights.ih)
        unbatched = input.dim() == 1
        shape = (*input.shape[:-1], self.hidden_size)
        state = None
        if hx is not None:
            form = "(size,)" if unbatched else "(B, size)"
            state = check_state(where, self.cell, hx, [shape] * len(self.cell.states), form)
            check_states_dtype(where, self.cell, state, input)
            if unbatched:
                state = tuple(s.unsqueeze(0) for s in state)
        x = input[None, None] if unbatched else input.unsqueeze(0)
        after = self._scan(Call(self.cell, weights, x, state))
        return tuple(s.squeeze(0) for s in after) if unbatched else after

    def _scan(self, call: Call) -> States:
        """The states after the only step of a call."""
        if len(self.cell.states) == 1 or not is_lowered(call.input):
            return scan(call, backend=self.backend)[1]
        # under autocast torch's LSTMCell keeps c in the type in which it came, and gives h in it;
        # here the whole step is taken in that type, for c is a sum over all steps
        given = call.input.dtype if call.state is None else call.state[1].dtype
        dtype = torch.promote_types(call.weights.ih.dtype, given)
        wide = with_tensors(call, [t if t is None else t.to(dtype) for t in tensors_of(call)])
        with torch.autocast(call.input.device.type, enabled=False):
            return tuple(s.to(given) for s in scan(wide, backend=self.backend)[1])

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults."""
        return described(self)


class RNNCell(RecurrentCell):
    r"""One step of a simple recurrent network; a drop-in for `torch.nn.RNNCell`.

    .. math:: h' = f(U x + b_{ih} + W h + b_{hh})

    Args:
        input_size: features, I.
        hidden_size: units, H.
        bias: whether there are b_ih and b_hh.
        nonlinearity: f, a name in `elman.cells.NONLINEARITIES` or a function of one array.
        device: where the parameters live.
        dtype: their type.
        init: "torch" or "recurrent", as in `elman.nn.RNN`.
        backend: as in `elman.nn.RNN`.

    Shape:
        - input: (B, I) or (I,). hx: (B, H) or (H,), zeros if None. Returns h' in the shape of hx.

    Reference:
        Elman 1990, "Finding structure in time", Cognitive Science 14.

    Example:
        >>> import torch, elman
        >>> elman.nn.RNNCell(3, 4)(torch.randn(2, 3)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Function = "tanh",
        device: Any = None,
        dtype: Any = None,
        *,
        init: str = "torch",
        backend: str = "auto",
    ) -> None:
        super().__init__(
            rnn.cell(nonlinearity), input_size, hidden_size, bias, device, dtype, init, backend
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step."""
        return self._states(input, hx)[0]


class GRUCell(RecurrentCell):
    r"""One step of a gated recurrent unit; a drop-in for `torch.nn.GRUCell`. The formulas are
    those of `elman.nn.GRU`.

    Args:
        input_size: features, I.
        hidden_size: units, H.
        bias: whether there are b_ih and b_hh.
        device: where the parameters live.
        dtype: their type.
        reset_gate: "after" or "before" the product, as in `elman.nn.GRU`.
        init: "torch" or "recurrent", as in `elman.nn.GRU`.
        backend: as in `elman.nn.GRU`.

    Shape:
        - input: (B, I) or (I,). hx: (B, H) or (H,), zeros if None. Returns h' in the shape of hx.

    Reference:
        Cho et al. 2014, https://arxiv.org/abs/1406.1078

    Example:
        >>> import torch, elman
        >>> elman.nn.GRUCell(3, 4)(torch.randn(2, 3)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        reset_gate: str = "after",
        init: str = "torch",
        backend: str = "auto",
    ) -> None:
        check_one_of("GRUCell", "reset_gate", reset_gate, ("after", "before"))
        cell = gru.cell if reset_gate == "after" else gru_reset_before.cell
        super().__init__(cell, input_size, hidden_size, bias, device, dtype, init, backend)
        self.reset_gate = reset_gate

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step."""
        return self._states(input, hx)[0]


class LSTMCell(RecurrentCell):
    r"""One step of a long short-term memory; a drop-in for `torch.nn.LSTMCell`. The formulas are
    those of `elman.nn.LSTM`.

    Args:
        input_size: features, I.
        hidden_size: units, H.
        bias: whether there are b_ih and b_hh.
        device: where the parameters live.
        dtype: their type.
        init: "torch" or "recurrent", as in `elman.nn.LSTM`.
        backend: as in `elman.nn.LSTM`.

    Shape:
        - input: (B, I) or (I,). hx: (h, c), each (B, H) or (H,), zeros if None. Returns (h', c')
          in the shape of hx.

    Reference:
        Hochreiter & Schmidhuber 1997, "Long short-term memory", Neural Computation 9.

    Example:
        >>> import torch, elman
        >>> h, c = elman.nn.LSTMCell(3, 4)(torch.randn(2, 3))
        >>> h.shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        init: str = "torch",
        backend: str = "auto",
    ) -> None:
        super().__init__(lstm.cell, input_size, hidden_size, bias, device, dtype, init, backend)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step."""
        h, c = self._states(input, hx)
        return h, c
