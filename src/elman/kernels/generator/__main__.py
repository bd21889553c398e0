"""Run as python -m generator FOLDER_OF_CELLS OUTPUT: the header of all cells."""

import sys
from pathlib import Path

from . import generate

if __name__ == "__main__":
    Path(sys.argv[2]).write_text(generate(Path(sys.argv[1])), "utf-8")
