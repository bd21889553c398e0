"""What may be said about drawing tokens."""


def check_sampling(where: str, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raises ValueError for what cannot be drawn with."""
    if temperature < 0:
        raise ValueError(f"{where}: temperature={temperature}; give zero or a number above it.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"{where}: top_k={top_k}; give a whole number above zero.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"{where}: top_p={top_p}; give a number above zero, up to 1.")
