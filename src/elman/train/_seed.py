"""The seed of everything."""

from typing import Any

import torch


def seed(random_state: Any) -> int:
    """Seeds torch and gives the seed for the order of the data.

    Args:
        random_state: an int, None (draws one), or a NumPy RandomState or Generator or a
            `random.Random` (draws from it).

    Example:
        >>> seed(3)
        3
    """
    if random_state is None:
        number = torch.seed() % 2**31
    elif hasattr(random_state, "randrange"):
        # of Python's own; its randint has other arguments than NumPy's
        number = int(random_state.randrange(2**31 - 1))
    elif hasattr(random_state, "randint"):
        number = int(random_state.randint(2**31 - 1))
    elif hasattr(random_state, "integers"):
        number = int(random_state.integers(2**31 - 1))
    else:
        number = int(random_state)
    torch.manual_seed(number)
    return number
