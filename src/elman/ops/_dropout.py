"""Torch's dropout, with the same bits, in a third of the time where torch draws them one by one."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import dropout as of_torch

from elman.kernels import inside_torch

# a number in [0, 1) is so many bits of the generator's
_BITS = 53
# numbers that are drawn to see how torch draws; less than one in 10^50 others would be the same
_TRIED = 256
# fewer numbers are drawn by torch as fast
_FEW = 2000


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    r"""Zeroes each number with probability p and divides the others by 1 - p:
    :math:`y_i = x_i m_i / (1 - p)` with :math:`P(m_i = 1) = 1 - p`; x itself if nothing is trained.

    The same numbers as `torch.nn.functional.dropout` from the same seed, and the same state of the
    generator behind it. Without MKL, or on a processor that is not Intel's, torch calls a generator
    of 53 bits for each number in turn; here all bits are drawn at once and compared.

    Args:
        x: numbers of any shape.
        p: between 0 and 1.
        training: whether anything is zeroed.

    Raises:
        ValueError: p lies outside.

    Reference:
        Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting",
        Journal of Machine Learning Research 15.

    Example:
        >>> x = torch.ones(3, 1000)
        >>> _ = torch.manual_seed(0)
        >>> ours = dropout(x, 0.5)
        >>> _ = torch.manual_seed(0)
        >>> torch.equal(ours, torch.nn.functional.dropout(x, 0.5))
        True
    """
    if not training or not 0 < p < 1 or not _is_plain(x) or not _torch_draws_one_by_one():
        return of_torch(x, p, training)
    kept = _drawn(x.shape, 1 - p, None).to(x.dtype).div_(1 - p)
    return x * kept


def _is_plain(x: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and x.is_cpu
        and x.is_floating_point()
        and x.numel() >= _FEW
        # torch draws in the order in which the numbers lie
        and x.is_contiguous()
        and type(x) in (Tensor, torch.nn.Parameter)
        and not inside_torch.is_transforming()
        and not inside_torch.is_dispatching()
    )


def _drawn(shape: torch.Size, p: float, generator: torch.Generator | None) -> Tensor:
    """Whether each of so many numbers in [0, 1) is below p."""
    bits = torch.empty(shape, dtype=torch.int64, device="cpu")
    bits.random_(-(2**63), None, generator=generator)
    # a whole number is compared: a fraction would be rounded to float32
    return bits.bitwise_and_(2**_BITS - 1) < math.ceil(p * 2.0**_BITS)


@cache
def _torch_draws_one_by_one() -> bool:
    one, other = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    drawn = torch.empty(_TRIED, device="cpu").bernoulli_(0.3, generator=one)
    alike = torch.equal(drawn.bool(), _drawn(drawn.shape, 0.3, other))
    return alike and torch.equal(one.get_state(), other.get_state())
