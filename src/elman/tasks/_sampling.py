"""What may be said about drawing tokens."""

from elman.ops import is_integer, is_number, is_whole

# scores that are divided by less, or by more, have no number of 32 bits
_COLDEST, _HOTTEST = 1e-6, 1e6


def check_sampling(
    where: str, temperature: float, top_k: int | None, top_p: float | None, seed: int | None
) -> None:
    """Raises ValueError for what cannot be drawn with."""
    if not is_number(temperature) or not temperature >= 0:
        raise ValueError(f"{where}: temperature={temperature}; give zero or a number above it.")
    if temperature and not _COLDEST <= temperature <= _HOTTEST:
        raise ValueError(
            f"{where}: temperature={temperature}; give zero, or {_COLDEST:g} up to {_HOTTEST:g}."
        )
    if top_k is not None and not is_whole(top_k):
        raise ValueError(f"{where}: top_k={top_k}; give a whole number above zero.")
    if top_p is not None and (not is_number(top_p) or not 0 < top_p <= 1):
        raise ValueError(f"{where}: top_p={top_p}; give a number above zero, up to 1.")
    if seed is not None and (not is_integer(seed) or not -(2**63) <= seed < 2**63):
        raise ValueError(f"{where}: seed={seed}; give a whole number below 2**63.")
