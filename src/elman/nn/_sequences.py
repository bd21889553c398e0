"""The forms in which sequences come, read into one: (T, B, I) with lengths and resets, and put
back as they came.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.ops import check_batch_sizes, gathered, stay_packed

from ._check import check_dtype, check_tensor
from ._lengths import check_lengths
from ._packed import in_order, pad

States = tuple[Tensor, ...]


@dataclass(slots=True)
class Sequences:
    """A batch of sequences as the scans want it, and how it came.

    Args:
        input: (T, B, I); or (N, I), the data of a PackedSequence, where `batch_sizes` is not None.
        lengths: (B,) or None.
        resets: (T, B) bool or None.
        batch_first: whether the layer lays batches out as (B, T, I).
        unbatched: whether it came as one sequence, (T, I).
        packed: the PackedSequence it came as, or None.
        places: where its data stand among the T * B steps of the input; None if it was not padded.
    """

    input: Tensor
    lengths: Tensor | None
    resets: Tensor | None
    batch_first: bool
    unbatched: bool
    packed: PackedSequence | None = None
    places: Tensor | None = None

    @property
    def batch_sizes(self) -> Tensor | None:
        """How many rows each step of a PackedSequence that was not padded has."""
        return None if self.packed is None or self.places is not None else self.packed.batch_sizes

    @property
    def rows(self) -> int:
        """B."""
        sizes = self.batch_sizes
        return self.input.shape[1] if sizes is None else int(sizes[0])

    def put_back(self, output: Tensor) -> Tensor | PackedSequence:
        """The output, laid out as `input`, in the form in which that came."""
        if self.packed is not None:
            return PackedSequence(
                output if self.places is None else gathered(output, self.places),
                self.packed.batch_sizes,
                self.packed.sorted_indices,
                self.packed.unsorted_indices,
            )
        if self.unbatched:
            return output.squeeze(1)
        return output.transpose(0, 1) if self.batch_first else output

    def arrange(self, sequence: Tensor) -> Tensor:
        """(T, B, ·) as the layer lays batches out; rows of a PackedSequence in their original
        order.
        """
        if self.packed is not None and self.packed.unsorted_indices is not None:
            sequence = sequence.index_select(1, self.packed.unsorted_indices)
        return sequence.transpose(0, 1) if self.batch_first else sequence

    def read_state(self, state: States) -> States:
        """The given state as (L * D, B, ·), in the order of the rows of `input`."""
        if self.unbatched:
            return tuple(s.unsqueeze(1) for s in state)
        return in_order(state, None if self.packed is None else self.packed.sorted_indices)

    def put_back_state(self, state: States) -> States:
        """The final state in the order and form in which the input came."""
        if self.unbatched:
            return tuple(s.squeeze(1) for s in state)
        return in_order(state, None if self.packed is None else self.packed.unsorted_indices)


def read_sequences(
    layer: Any,
    where: str,
    input: Tensor | PackedSequence,
    lengths: Tensor | None,
    resets: Tensor | None,
    in_steps: bool = False,
) -> Sequences:
    """Reads and checks the sequences that were given to a layer; with `in_steps` they come as
    (T, B, I) even if the kernels would run them packed.
    """
    if isinstance(input, PackedSequence):
        return _read_packed(layer, where, input, lengths, resets, in_steps)
    _check_input(layer, where, input)
    unbatched = input.dim() == 2
    batch_first = layer.batch_first and not unbatched
    x = input.unsqueeze(1) if unbatched else input.transpose(0, 1) if batch_first else input
    if lengths is not None:
        lengths = check_lengths(where, lengths, x, unbatched=unbatched)
    if resets is not None:
        resets = _check_resets(where, resets, input, batch_first, unbatched)
    return Sequences(x, lengths, resets, layer.batch_first, unbatched)


def _check_input(layer: Any, where: str, input: Tensor) -> None:
    check_tensor(where, "input", input)
    shape = tuple(input.shape)
    is_readable = 2 <= len(shape) <= 3 and shape[-1] == layer.input_size
    # a weight that a parametrisation computes is not computed for its type
    weight = layer._parameters.get("weight_ih_l0")
    weight = next(layer.parameters(), None) if weight is None else weight
    # a replica's weights are no parameters
    weight = layer.weight_ih_l0 if weight is None else weight
    if is_readable and input.dtype is weight.dtype:
        return
    form = "(B, T, {})" if layer.batch_first else "(T, B, {})"
    form = form.format(layer.input_size)
    if input.dim() not in (2, 3):
        raise ValueError(
            f"{where}: input has {input.dim()} dimensions (shape {shape}), expected {form},"
            f" or (T, {layer.input_size}) for one sequence."
        )
    if shape[-1] != layer.input_size:
        raise ValueError(
            f"{where}: input has {shape[-1]} features, but input_size is {layer.input_size}"
            f" (input shape {shape}, expected {form})."
        )
    check_dtype(where, input, weight)


def _check_resets(
    where: str, resets: Tensor, input: Tensor, batch_first: bool, unbatched: bool
) -> Tensor:
    """The resets as (T, B)."""
    form = "(T,)" if unbatched else "(B, T)" if batch_first else "(T, B)"
    needed = tuple(input.shape[:-1])
    if isinstance(resets, np.ndarray):
        resets = torch.as_tensor(resets, device="cpu")
    check_tensor(where, "resets", resets)
    if resets.dtype != torch.bool:
        raise TypeError(
            f"{where}: resets is {resets.dtype}; give a boolean tensor {needed}, {form}."
        )
    if tuple(resets.shape) != needed:
        raise ValueError(
            f"{where}: resets has shape {tuple(resets.shape)}, expected {needed}, {form}."
        )
    return resets[:, None] if unbatched else resets.t() if batch_first else resets


def _read_packed(
    layer: Any,
    where: str,
    packed: PackedSequence,
    lengths: Tensor | None,
    resets: Tensor | None,
    in_steps: bool,
) -> Sequences:
    """A PackedSequence as it stands or as a padded batch, rows longest first."""
    if lengths is not None or resets is not None:
        given = "lengths" if lengths is not None else "resets"
        raise ValueError(
            f"{where}: {given} was given with a PackedSequence, which has its own rows;"
            " give a padded tensor."
        )
    if packed.data.dim() != 2:
        raise ValueError(
            f"{where}: the data of the PackedSequence have {packed.data.dim()} dimensions (shape"
            f" {tuple(packed.data.shape)}), expected (N, {layer.input_size})."
        )
    _check_input(layer, where, packed.data)
    if not in_steps and stay_packed(packed.data, layer.backend):
        check_batch_sizes(where, packed.batch_sizes, len(packed.data))
        return Sequences(packed.data, None, None, layer.batch_first, False, packed)
    # without its indices, the rows come longest first
    x, lengths, places = pad(PackedSequence(packed.data, packed.batch_sizes), where)
    return Sequences(x, lengths, None, layer.batch_first, False, packed, places)
