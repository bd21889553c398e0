"""Cells and nonlinearities of the user's own, compiled once and kept by their text.

They are what the built-in ones are: the text of the functions goes through the generator, and the
system's compiler makes a library of the one table that the schedules read. Without a compiler, or
where a function is outside the vocabulary, the reference runs them and `explain` says why.
"""

import ast
import ctypes
import hashlib
import inspect
import os
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import torch

from elman import cells

from ._machine import Machine, machine, native
from .generator import (
    Made,
    OutsideVocabularyError,
    Source,
    derivative_reads,
    differentiate,
    header,
    make_cell,
)

# where the compiled cells are kept; ELMAN_CACHE names another folder
CACHE = "ELMAN_CACHE"
_ROLES = ("step", "step_backward", "operand", "operand_backward")
# numbers of a module: its names, the number's own, and its value
_Numbers = list[tuple[dict[str, Any], str, float]]


class NotCompiledError(RuntimeError):
    """A cell of the user's own does not run natively; the text says why."""


@dataclass(slots=True)
class _Found:
    """A cell's name, or why it has none, and the numbers of its modules that it was compiled with.

    Args:
        cell: the cell, so that its identity stays its own.
        numbers: each with the module's names and its own.
        name: what the kernels call it.
    """

    cell: cells.Cell
    numbers: _Numbers
    name: str | NotCompiledError

    def is_stale(self) -> bool:
        """Whether one of the numbers has changed."""
        return any(module.get(name) != value for module, name, value in self.numbers)


# by a cell's identity
_found: dict[int, _Found] = {}
_by_name: dict[str, cells.Cell] = {}


def native_name(cell: cells.Cell) -> str:
    """What the native kernels call a cell; compiles it if it is the user's own.

    Raises:
        NotCompiledError: it cannot be compiled here.
    """
    if cell.native is not None:
        return cell.native
    found = _found.get(id(cell))
    if found is None or found.is_stale():
        found = _found[id(cell)] = _Found(cell, [], "")
        try:
            found.name = _compiled(cell, found.numbers)
        except (OutsideVocabularyError, NotCompiledError, OSError) as error:
            found.name = NotCompiledError(str(error))
    if isinstance(found.name, NotCompiledError):
        raise found.name
    return found.name


def cell_of(name: str) -> cells.Cell:
    """The user's cell of a name that `native_name` gave."""
    return _by_name[name]


def _compiled(cell: cells.Cell, numbers: _Numbers) -> str:
    here = machine()
    code, saved = cell_header(cell, numbers)
    name = "user_" + hashlib.sha256(code.encode()).hexdigest()[:24]
    if name not in here.cells:
        library = ctypes.CDLL(str(_library(code, here)))
        library.elman_cell.restype = ctypes.c_void_p
        here.cells[name] = library.elman_cell(), saved
    _by_name[name] = cell
    return name


def cell_header(cell: cells.Cell, numbers: _Numbers) -> tuple[str, int]:
    """The C++ of a cell, and how many values its step saves; `numbers` takes those that stand in
    its modules.

    Raises:
        OutsideVocabularyError: a function holds what the vocabulary does not.
    """
    source, functions, nonlinearity = _source_of(cell, numbers), Source("no file", {}), None
    if isinstance(cell.step, partial):
        functions = _functions_of(cell, numbers)
        nonlinearity = functions, "f", "derivative"
        derivative_reads(functions, "derivative")
    made: Made = make_cell(source, "user", nonlinearity)
    code = header(functions, [made], [])
    call = 'extern "C" __attribute__((visibility("default"))) const elman::Cell* elman_cell() {\n'
    return f"{code}\n{call}  return &elman::ELMAN_ISA::user_cell;\n}}\n", made.saved


def _source_of(cell: cells.Cell, numbers: _Numbers) -> Source:
    """The text of a cell's functions, each under the name of its role."""
    functions: dict[str, ast.FunctionDef] = {}
    path = "a cell"
    for role in _ROLES:
        function: Any = getattr(cell, role)
        if function is None:
            continue
        function = function.func if isinstance(function, partial) else function
        functions[role], path = _text_of(function, numbers)
    constants = {"GATES": cell.gates, "STATES": cell.states, "FIRST": cell.first}
    return Source(path, functions, constants)


def _functions_of(cell: cells.Cell, numbers: _Numbers) -> Source:
    """The text of a nonlinearity and of its derivative, which is found if it was not given."""
    if cell.f is None:
        raise OutsideVocabularyError(f"{cell.name}: what its step takes is not known.")
    f, path = _text_of(cell.f.f, numbers)
    source = Source(path, {"f": f}, {}, {"user": ("f", "derivative")})
    if cell.f.derivative is None:
        source.functions["derivative"] = differentiate(source, "f")
    else:
        source.functions["derivative"], _ = _text_of(cell.f.derivative, numbers)
    return source


def _text_of(function: Callable[..., Any], numbers: _Numbers) -> tuple[ast.FunctionDef, str]:
    """A function's parsed text, with the numbers that its global names stand for in their place,
    and its file.
    """
    if not isinstance(function, FunctionType):
        raise OutsideVocabularyError(
            f"{getattr(function, '__name__', function)} is no Python function; write it as one."
        )
    path = inspect.getsourcefile(function) or "a function"
    try:
        lines, first = inspect.getsourcelines(function)
    except OSError as error:
        raise OutsideVocabularyError(
            f"{path}: {function.__name__} has no text ({error})."
        ) from None
    tree = ast.parse(textwrap.dedent("".join(lines)))
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        raise OutsideVocabularyError(f"{path}:{first}: give the function by `def`, not by lambda.")
    ast.increment_lineno(tree, first - 1)
    if node.args.defaults or node.args.kwonlyargs or node.args.vararg or node.args.kwarg:
        raise OutsideVocabularyError(
            f"{path}:{first}: {function.__name__} has arguments that may be left out."
        )
    if function.__closure__:
        raise OutsideVocabularyError(f"{path}:{first}: {function.__name__} uses names around it.")
    return _WithNumbers(function, path, numbers).visit(node), path


class _WithNumbers(ast.NodeTransformer):
    """Puts the numbers of a function's module in place of their names; a name that is an argument
    or gets a value in the function is its own.
    """

    def __init__(self, function: FunctionType, path: str, numbers: _Numbers) -> None:
        self._own = set(function.__code__.co_varnames)
        self._module, self._path, self._numbers = function.__globals__, path, numbers

    def visit_Name(self, node: ast.Name) -> ast.expr:
        name = node.id
        if name in self._own or name not in self._module:
            return node
        value = self._module[name]
        if isinstance(value, int | float) and not isinstance(value, bool):
            self._numbers.append((self._module, name, value))
            return ast.copy_location(ast.Constant(value), node)
        if name in cells.__all__ and value not in (
            getattr(cells, name),
            getattr(torch, name, None),
        ):
            raise OutsideVocabularyError(
                f"{self._path}:{node.lineno}: {name} is not the one of elman.cells."
            )
        return node


def compiler() -> str | None:
    """The system's C++ compiler, or the one that CXX names."""
    return os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")


def _library(code: str, here: Machine) -> Path:
    """The library of a cell's code, compiled if it is not there yet."""
    found = compiler()
    if found is None:
        raise NotCompiledError("there is no C++ compiler to compile the cell with (c++, or CXX)")
    include = Path(native.__file__).parent / "include"
    headers = "".join(path.read_text("utf-8") for path in sorted(include.glob("*.h")))
    command = [
        found, "-std=c++17", "-shared", "-fPIC", f"-I{include}", f"-DELMAN_ISA={here.name}",
        f"-DELMAN_VECTOR_BYTES={here.vector_bytes}", *here.flags.split(),
    ]  # fmt: skip
    key = hashlib.sha256("\n".join([code, headers, *command]).encode()).hexdigest()[:32]
    folder = Path(os.environ.get(CACHE) or _default_cache())
    library = folder / f"{key}.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        text = Path(scratch) / "cell.cpp"
        text.write_text(code, "utf-8")
        made = Path(scratch) / "cell.so"
        done = subprocess.run(
            [*command, str(text), "-o", str(made)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), "")
            raise NotCompiledError(f"{Path(found).name} did not compile the cell: {first}")
        # two processes may compile the same cell: the last one wins, with the same library
        made.replace(library)
    return library


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "elman"
