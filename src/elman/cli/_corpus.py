"""Real English text that every Python carries: its documentation topics and the docstrings of its
library.
"""

import ast
import inspect
import random
import sysconfig
from pathlib import Path

_LEAST = 60


def standard_library_texts(seed: int = 0) -> list[str]:
    """The documents, in an order that depends on the seed alone, so that a part at the end is like
    the rest.
    """
    from pydoc_data.topics import topics

    texts = {text.strip() for text in topics.values()}
    folder = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted([*folder.glob("*.py"), *folder.glob("[a-z]*/*.py")]):
        if file.parent.name not in ("site-packages", "test", "idlelib", "pydoc_data"):
            texts |= set(_docstrings(file))
    kept = sorted(text for text in texts if len(text) >= _LEAST)
    random.Random(seed).shuffle(kept)
    return kept


def _docstrings(file: Path) -> list[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        # a file of another Python version, or of tests for the parser
        return []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented))
    return [inspect.cleandoc(text) for text in found if text]
