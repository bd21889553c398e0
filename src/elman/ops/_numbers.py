"""What an option may be."""

from numbers import Integral, Real
from typing import TypeGuard

import numpy as np


def is_number(value: object) -> TypeGuard[float]:
    """Whether something is a number, numpy's too.

    Example:
        >>> is_number(2.5), is_number(True)
        (True, False)
    """
    return not isinstance(value, bool) and isinstance(value, Real)


def is_integer(value: object) -> TypeGuard[int]:
    """Whether something is a whole number, numpy's too.

    Example:
        >>> is_integer(2), is_integer(2.0)
        (True, False)
    """
    return not isinstance(value, bool) and isinstance(value, Integral)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether something is a whole number above zero.

    Example:
        >>> is_whole(1), is_whole(0)
        (True, False)
    """
    return is_integer(value) and value >= 1


def is_flag(value: object) -> bool:
    """Whether something is True or False, numpy's too.

    Example:
        >>> is_flag(False), is_flag(0)
        (True, False)
    """
    return isinstance(value, bool | np.bool_)
