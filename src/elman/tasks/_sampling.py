"""What may be said about drawing tokens."""

from elman.nn import check_drawing
from elman.ops import is_integer


def check_sampling(
    where: str, temperature: float, top_k: int | None, top_p: float | None, seed: int | None
) -> None:
    """Raises ValueError for what cannot be drawn with."""
    check_drawing(where, temperature, top_k, top_p)
    if seed is not None and (not is_integer(seed) or not -(2**63) <= seed < 2**63):
        raise ValueError(f"{where}: seed={seed}; give a whole number below 2**63.")
