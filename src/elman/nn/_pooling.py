"""Many to one: the outputs of all steps, weighed into one vector a sequence."""

import torch
from torch import Tensor, nn

from ._check import check_one_of, check_tensor
from ._lengths import split_lengths

POOLINGS = ("last", "mean", "max", "attention")


class Pooling(nn.Module):
    r"""Summarises the outputs of a recurrent layer over time.

    "last" takes each direction's last state; "mean" and "max" go over the row's own steps;
    "attention" is a learned weighted mean,
    :math:`\sum_t a_t h_t` with :math:`a = \mathrm{softmax}_t(v^\top \tanh(W h_t + b))`.

    Args:
        how: "last", "mean", "max" or "attention".
        size: features of an output, D * R.
        directions: D; with "last" the reverse direction's last state is that of step 0.

    Shape:
        - output: (T, B, D * R), lengths: (B,) from 0 to T. Returns (B, D * R), zeros for a row
          without steps.

    Raises:
        TypeError: the output is no tensor, or lengths are no whole numbers.
        ValueError: `how` is not known, or lengths are not one from 0 to T for each row.

    Reference:
        Yang et al. 2016, "Hierarchical attention networks for document classification", NAACL
        (attention).

    Example:
        >>> import torch, elman
        >>> pool = elman.nn.Pooling("mean", 4)
        >>> pool(torch.ones(5, 2, 4), torch.tensor([5, 2]))
        tensor([[1., 1., 1., 1.],
                [1., 1., 1., 1.]])
    """

    def __init__(self, how: str, size: int, directions: int = 1) -> None:
        super().__init__()
        check_one_of("Pooling", "how", how, POOLINGS)
        self.how, self.directions = how, directions
        if how == "attention":
            self.project, self.score = nn.Linear(size, size), nn.Linear(size, 1, bias=False)

    def forward(self, output: Tensor, lengths: Tensor) -> Tensor:
        """Pools the outputs."""
        check_tensor("Pooling.forward", "output", output)
        lengths, empty = split_lengths("Pooling.forward", lengths, output, "the output")
        if not len(output):
            return output.sum(0)
        pooled = self._pool(output, lengths)
        return pooled if empty is None else pooled.masked_fill(empty[:, None], 0)

    def _pool(self, output: Tensor, lengths: Tensor) -> Tensor:
        if self.how == "last":
            return self._last(output, lengths)
        real = (torch.arange(len(output), device=output.device)[:, None] < lengths)[:, :, None]
        if self.how == "mean":
            return output.masked_fill(~real, 0).sum(0) / lengths[:, None]
        if self.how == "max":
            return output.masked_fill(~real, -torch.inf).amax(0)
        score = self.score(torch.tanh(self.project(output))).masked_fill(~real, -torch.inf)
        return (score.softmax(0) * output).sum(0)

    def _last(self, output: Tensor, lengths: Tensor) -> Tensor:
        rows = torch.arange(output.shape[1], device=output.device)
        last = output[lengths - 1, rows]
        if self.directions == 1:
            return last
        half = output.shape[-1] // 2
        return torch.cat([last[:, :half], output[0, :, half:]], -1)

    def extra_repr(self) -> str:
        """How it pools."""
        return repr(self.how)
