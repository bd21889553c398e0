"""The lengths of a batch's rows: the one check of them, and rows without steps."""

from typing import Any

import torch
from torch import Tensor

from elman.ops import is_tracing


def check_lengths(
    where: str, lengths: Any, batch: Tensor, name: str = "the input", *, unbatched: bool = False
) -> Tensor:
    """The lengths as (B,) int64, on the device they came on.

    Their values are checked where they can be looked at: not while compiling or recording, nor of
    tensors that are fake, mapped or on the meta device.

    Args:
        where: who was given them, for the message.
        lengths: a tensor, or what torch makes one of.
        batch: whose rows they are, (T, B, …).
        name: what that is called, for the message.
        unbatched: whether a single number will do for the only row.

    Raises:
        TypeError: they are no whole numbers.
        ValueError: they are not one for each row, lie outside 0 to T, or have no values where the
            batch has.
    """
    return _read(where, lengths, batch, name, unbatched)[0]


def split_lengths(
    where: str, lengths: Any, batch: Tensor, name: str
) -> tuple[Tensor, Tensor | None]:
    """The lengths on the batch's device, each at least 1, and which rows are without steps.

    What is computed of a single step of such a row is a number, of which nothing is to remain.

    Args:
        where: as for `check_lengths`.
        lengths: as for `check_lengths`.
        batch: as for `check_lengths`.
        name: as for `check_lengths`.

    Returns:
        (B,) int64, and (B,) bool; None in place of the second where every row has steps.
    """
    lengths, extremes = _read(where, lengths, batch, name)
    lengths = lengths.to(batch.device)
    if extremes is not None and 0 not in extremes:
        return lengths, None
    return lengths.clamp_min(1), lengths == 0


def _read(
    where: str, lengths: Any, batch: Tensor, name: str, unbatched: bool = False
) -> tuple[Tensor, list[int] | None]:
    """The lengths as (B,) int64, and numbers with the least and the most of them; None in place of
    these where no values can be looked at.
    """
    steps, rows = batch.shape[:2]
    if not isinstance(lengths, Tensor):
        try:
            lengths = torch.as_tensor(lengths, device="cpu")
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"{where}: lengths are {lengths!r}; give whole numbers, one for each row."
            ) from None
    if unbatched and lengths.dim() == 0:
        lengths = lengths[None]
    if lengths.shape != (rows,):
        raise ValueError(
            f"{where}: lengths has shape {tuple(lengths.shape)}, expected ({rows},),"
            " one for each row."
        )
    if lengths.dtype not in _WHOLE:
        raise TypeError(f"{where}: lengths is {lengths.dtype}; give whole numbers.")
    if lengths.is_meta and not batch.is_meta:
        raise ValueError(
            f"{where}: lengths is on the meta device, where nothing has a value, and {name} is on"
            f" {batch.device}; give lengths with values."
        )
    lengths = lengths.long()
    extremes = _extremes(lengths)
    if extremes and not (min(extremes) >= 0 and max(extremes) <= steps):
        row = int(((lengths < 0) | (lengths > steps)).nonzero()[0])
        raise ValueError(
            f"{where}: lengths[{row}] is {int(lengths[row])}, expected 0 to {steps},"
            f" the steps of {name}."
        )
    return lengths, extremes


def _extremes(lengths: Tensor) -> list[int] | None:
    if torch.compiler.is_compiling() or is_tracing():
        return None
    try:
        # all of a few are told in a tenth of the time
        return (lengths if len(lengths) <= 64 else torch.stack(lengths.aminmax())).tolist()
    # torch refuses to tell those of fake, mapped and meta tensors
    except RuntimeError:
        return None


_WHOLE = (
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)
