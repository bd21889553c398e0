"""The command line: `elman train | evaluate | predict | generate | demo | doctor`."""

from ._main import main

__all__ = ["main"]
