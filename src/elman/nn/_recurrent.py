"""What RNN, GRU and LSTM share: parameters named as torch names them, and the way of a batch
through the stack.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.cells import Cell
from elman.ops import Call, Watch, Weights, Zoneout, check_backend, scan, wanted
from elman.ops import dropout as drop

from ._check import check_options, check_state, check_states_dtype, check_tensor, checked_number
from ._init import initialise, initialise_like_torch
from ._quickly import run_packed_quickly, run_quickly
from ._repr import described
from ._sequences import Sequences, read_sequences
from ._shapes import shapes_of, shapes_of_one, widths_of
from ._stepper import Stepper
from ._trace import Trace, trace_of

State = Tensor | tuple[Tensor, ...]
States = tuple[Tensor, ...]


class Recurrent(nn.Module):
    """A stack of recurrent layers over sequences; abstract, made concrete by `RNN`, `GRU` and
    `LSTM`.
    """

    # who is told the gradients of the states: gives the watch of a layer and direction
    watch: Callable[[int, int], Watch] | None = None
    # as torch's layers have it; an LSTM may have one
    proj_size = 0
    # what torch.jit.trace is to leave alone
    __jit_unused_properties__: ClassVar = ["all_weights", "mode", "state_size"]
    __jit_ignored_attributes__: ClassVar = ["watch"]

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        fed_back: tuple[str, int] | None,
        device: Any,
        dtype: Any,
        init: str,
        initial_state: str,
        recurrent_dropout: float,
        backend: str,
        bptt: str,
        gradient_clip: float | None,
        residual: bool,
        zoneout: float,
        layer_norm: bool,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        # D, 1 or 2
        self.num_directions = 2 if bidirectional is True else 1
        self.dropout = checked_number(self, "dropout", dropout)
        self.bidirectional = bidirectional
        self.init, self.initial_state = init, initial_state
        self.recurrent_dropout = checked_number(self, "recurrent_dropout", recurrent_dropout)
        self.zoneout = checked_number(self, "zoneout", zoneout)
        self.backend, self.bptt, self.gradient_clip = backend, bptt, gradient_clip
        self.residual, self.layer_norm = residual, layer_norm
        # the output layer of a cell that feeds its output back: the letters of its weight, and its
        # size
        self.fed_back = fed_back
        check_options(self)
        check_backend(backend, type(self).__name__)
        for name, shape in shapes_of(self):
            self.register_parameter(
                name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            )
        self._names = [
            self._weight_names(layer, direction)
            for layer in range(num_layers)
            for direction in range(self.num_directions)
        ]
        self._widths = widths_of(self)
        self.reset_parameters()

    def _weight_names(self, layer: int, direction: int) -> list[str | None]:
        """The parameters of one layer and direction, in the order of `Weights`."""
        named = [name for name, _ in shapes_of_one(self, layer, direction)]
        out = self.fed_back[0] if self.fed_back else "none"
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", f"weight_{out}", f"bias_{out}")
        return [next((n for n in named if n.startswith(f"{kind}_l")), None) for kind in kinds]

    @property
    def state_size(self) -> int:
        """R, the size of what is fed back and put out: H, or the size of the projection or output
        layer.
        """
        return self.fed_back[1] if self.fed_back else self.hidden_size

    @property
    def mode(self) -> str:
        """What torch calls the kind of layer: "LSTM", "GRU", "RNN_TANH" and so on."""
        f = self.cell.f
        return self.cell.name if f is None else f"{self.cell.name}_{f.name.upper()}"

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of every layer and direction, in torch's order."""
        return [
            [getattr(self, name) for name, _ in shapes_of_one(self, layer, direction)]
            for layer in range(self.num_layers)
            for direction in range(self.num_directions)
        ]

    def flatten_parameters(self) -> None:
        """Does nothing; torch's layers have it, and code that calls it keeps working."""

    def reset_parameters(self) -> None:
        """Draws the parameters anew, as `init` says."""
        if self.init == "torch":
            initialise_like_torch(self)
        else:
            initialise(self)

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Any = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> Any:
        """Runs the sequences through the stack; see the class for shapes."""
        if isinstance(input, Tensor) and input.dim() == 3:
            found = run_quickly(self, input, hx, lengths, resets)
            if found is not None:
                return found
        if isinstance(input, PackedSequence) and lengths is None and resets is None:
            found = run_packed_quickly(self, input, hx)
            if found is not None:
                return found
        where = f"{type(self).__name__}.forward"
        sequences = read_sequences(self, where, input, lengths, resets)
        state = self._read_state(where, sequences, hx)
        output, after = self._run(sequences, state)
        return sequences.put_back(output), self._write_state(sequences, after)

    def step(self, x_t: Tensor, hx: Any = None) -> Any:
        """One time step, equal to the sequence call of one step.

        Args:
            x_t: (B, I), or (I,) for a single sequence.
            hx: the state as `forward` takes and returns it.

        Returns:
            The output (B, R), or (R,), and the new state.

        Raises:
            ValueError: the layer is bidirectional, or a shape does not fit.

        Example:
            >>> import torch, elman
            >>> gru = elman.nn.GRU(3, 4)
            >>> y, h = gru.step(torch.randn(2, 3))
            >>> y, h = gru.step(torch.randn(2, 3), h)
            >>> y.shape
            torch.Size([2, 4])
        """
        if isinstance(x_t, Tensor) and x_t.dim() == 2:  # pyright: ignore
            found = run_quickly(self, x_t, hx)
            if found is not None:
                return found
        where = f"{type(self).__name__}.step"
        check_tensor(where, "x_t", x_t)
        self._refuse_bidirectional(where)
        if x_t.dim() not in (1, 2) or x_t.shape[-1] != self.input_size:
            raise ValueError(
                f"{where}: x_t has shape {tuple(x_t.shape)};"
                f" give (B, I) or (I,) with I = {self.input_size}."
            )
        time = 1 if self.batch_first and x_t.dim() == 2 else 0
        output, hx = self(x_t.unsqueeze(time), hx)
        return output.squeeze(time), hx

    def stepper(self, batch: int = 1) -> Stepper:
        """An inference handle that owns a copy of the weights and its state, for streams.

        Args:
            batch: B, sequences that run side by side.

        Example:
            >>> import torch, elman
            >>> stepper = elman.nn.LSTM(3, 4).stepper(batch=2)
            >>> stepper(torch.randn(2, 3)).shape
            torch.Size([2, 4])
        """
        self._refuse_bidirectional(f"{type(self).__name__}.stepper")
        return Stepper(self, batch)

    def trace(
        self,
        input: Tensor | PackedSequence,
        hx: Any = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> list[Trace]:
        """Every step's states and gates, of each layer and direction, differentiable.

        Args:
            input: as for `forward`.
            hx: as for `forward`.
            lengths: as for `forward`.
            resets: as for `forward`.

        The native kernels keep no steps: where they are forced, the reference runs.

        Returns:
            One `Trace` for each layer and direction, layers first. Its tensors are (T, B, ·), or
            (B, T, ·) with `batch_first`; a packed or unbatched input is traced as a padded batch
            of the same rows in their original order.

        Example:
            >>> import torch, elman
            >>> (trace,) = elman.nn.LSTM(3, 4).trace(torch.randn(5, 2, 3))
            >>> trace.states["c"].shape, sorted(trace.gates)
            (torch.Size([5, 2, 4]), ['f', 'g', 'i', 'o'])
        """
        where = f"{type(self).__name__}.trace"
        sequences = read_sequences(self, where, input, lengths, resets, in_steps=True)
        traces: list[Trace] = []
        self._run(sequences, self._read_state(where, sequences, hx), traces)
        return [trace.arranged(sequences) for trace in traces]

    def calls(
        self,
        input: Tensor | PackedSequence,
        hx: Any = None,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> list[Call]:
        """The scans that `forward` asks for, one for each layer and direction, none of them run;
        upper layers get an input that is not initialised. For `explain`.
        """
        where = f"{type(self).__name__}.forward"
        sequences = read_sequences(self, where, input, lengths, resets, in_steps=True)
        state, x = self._read_state("explain", sequences, hx), sequences.input
        made: list[Call] = []
        for layer in range(self.num_layers):
            made += [
                self._call(layer, direction, x, sequences, state)
                for direction in range(self.num_directions)
            ]
            x = x.new_empty(*x.shape[:2], self.num_directions * self.state_size)
        return made

    def _call(
        self,
        layer: int,
        direction: int,
        x: Tensor,
        sequences: Sequences,
        state: States | None,
        weights: Weights | None = None,
    ) -> Call:
        """The scan of one layer and direction."""
        index = layer * self.num_directions + direction
        return Call(
            self.cell,
            weights or self._weights_whole(layer, direction),
            x,
            None if state is None else tuple(s[index] for s in state),
            self._initial(index),
            sequences.lengths,
            sequences.resets,
            reverse=direction == 1,
            checkpointed=self.bptt == "checkpointed",
            gradient_clip=self.gradient_clip,
            watch=None if self.watch is None else self.watch(layer, direction),
            zoneout=Zoneout(self.zoneout, self.training) if self.zoneout else None,
            batch_sizes=sequences.batch_sizes,
        )

    def _run(
        self, sequences: Sequences, state: States | None, traces: list[Trace] | None = None
    ) -> tuple[Tensor, States]:
        """The stack: every layer reads what the one below puts out."""
        x, after = sequences.input, []
        backend = self.backend
        if traces is not None and wanted(backend) == "cpu":
            backend = "reference"
        for layer in range(self.num_layers):
            outputs: list[Tensor] = []
            for direction in range(self.num_directions):
                weights = self.weights_of(layer, direction)
                call = self._call(layer, direction, x, sequences, state, weights)
                call.traced = traces is not None
                found, final = scan(call, backend=backend)
                if traces is not None:
                    traces.append(trace_of(self.cell, layer, direction, found))
                outputs.append(found[0])
                after.append(final)
            below, x = x, outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            if self.residual and layer > 0:
                x = x + below
            if self.dropout and self.training and layer + 1 < self.num_layers:
                x = drop(x, self.dropout)
        # a view could not be detached in place
        return x, tuple(torch.stack(one) for one in zip(*after, strict=True))

    def weights_of(self, layer: int, direction: int = 0) -> Weights:
        """The parameters of one layer of the stack and one direction, W behind its dropout."""
        made = self._weights_whole(layer, direction)
        # DropConnect: the same entries of W are gone at every step (Merity et al. 2018,
        # arXiv:1708.02182)
        if self.recurrent_dropout and self.training:
            made.hh = drop(made.hh, self.recurrent_dropout)
        return made

    def _weights_whole(self, layer: int, direction: int) -> Weights:
        names = self._names[layer * self.num_directions + direction]
        ih, hh, *rest = map(self._parameter, names)
        made = Weights(ih, hh, *rest)
        if self.layer_norm:
            suffix = f"_l{layer}" + ("_reverse" if direction else "")
            made.norm_ih = self._parameter(f"norm_ih{suffix}")
            made.norm_hh = self._parameter(f"norm_hh{suffix}")
        return made

    def _parameter(self, name: str | None) -> Any:
        """A parameter by name; one that a parametrisation computes is an attribute."""
        if name is None:
            return None
        found = self._parameters.get(name)
        return getattr(self, name) if found is None else found

    def _initial(self, index: int) -> States | None:
        """The learned initial state of one layer and direction; None stands for zeros."""
        if self.initial_state == "zeros":
            return None
        return tuple(getattr(self, f"initial_{s}")[index] for s in self.cell.states)

    def _read_state(self, where: str, sequences: Sequences, hx: Any) -> States | None:
        """The state as one (L * D, B, ·) tensor for each of the cell's states; None for zeros."""
        if hx is None and self.initial_state == "zeros":
            return None
        rows, batch = self.num_layers * self.num_directions, sequences.rows
        if hx is None:
            return self.first_state(batch)
        form = "(L * D, size)" if sequences.unbatched else "(L * D, B, size)"
        lead = (rows,) if sequences.unbatched else (rows, batch)
        shapes = [(*lead, width) for width in self._widths]
        states = check_state(where, self.cell, hx, shapes, form)
        check_states_dtype(where, self.cell, states, sequences.input)
        return sequences.read_state(states)

    def first_state(self, batch: int) -> States:
        """The state before the first step where none is given: zeros, or the learned one; a
        (L * D, B, ·) tensor for each of the cell's states.
        """
        if self.initial_state == "learned":
            learned = [getattr(self, f"initial_{s}") for s in self.cell.states]
            return tuple(s[:, None].expand(-1, batch, -1) for s in learned)
        rows, like = self.num_layers * self.num_directions, self._parameter("weight_ih_l0")
        return tuple(like.new_zeros(rows, batch, width) for width in widths_of(self))

    def _write_state(self, sequences: Sequences, state: States) -> State:
        state = sequences.put_back_state(state)
        return state[0] if len(state) == 1 else state

    def _refuse_bidirectional(self, where: str) -> None:
        if self.bidirectional:
            raise ValueError(
                f"{where}: the layer is bidirectional, so a step needs steps that have not come"
                " yet; call the layer on the whole sequence."
            )

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults."""
        return described(self)
