"""Turns a cell, as it stands in Python, into C++ for the native kernels.

It reads text and imports nothing of Elman, so that the build can run it before anything is
installed: `python -m generator FOLDER_OF_CELLS OUTPUT` beside this folder. A cell is straight-line
code in the cell vocabulary; everything else is refused with its file and line.
"""

from ._cell import Made, make_cell
from ._derivative import differentiate
from ._header import generate, header
from ._source import OutsideVocabularyError, Source, read
from ._write import derivative_reads

__all__ = [
    "Made",
    "OutsideVocabularyError",
    "Source",
    "derivative_reads",
    "differentiate",
    "generate",
    "header",
    "make_cell",
    "read",
]
