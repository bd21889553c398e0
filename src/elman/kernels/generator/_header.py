"""The header of all cells and nonlinearities."""

from collections.abc import Iterable
from pathlib import Path

from ._cell import Made, make_cell
from ._source import Source, read
from ._write import make_activation, nonlinearity_functions


def generate(folder: Path) -> str:
    """The header of every cell in a folder of cells."""
    shown = "elman/cells"
    sources = {
        path.stem: read(path.read_text("utf-8"), f"{shown}/{path.name}")
        for path in sorted(folder.glob("*.py"))
    }
    functions = sources["_nonlinearity"]
    made: list[Made] = []
    for name, source in sources.items():
        if "step" not in source.functions:
            continue
        extra = [one.arg for one in source.functions["step"].args.args][3:]
        if extra:
            made += [
                make_cell(source, f"{name}_{which}", (functions, f, str(derivative)))
                for which, (f, derivative) in functions.nonlinearities.items()
            ]
        else:
            made.append(make_cell(source, name))
    return header(functions, made, functions.nonlinearities)


def header(functions: Source, made: list[Made], activations: Iterable[str]) -> str:
    """The header of some cells.

    Args:
        functions: the nonlinearities that they use.
        made: the cells.
        activations: the nonlinearities that an output layer may have.
    """
    parts = [
        "// Made by elman/kernels/generator from the Python of the cells; edit that.",
        '#pragma once\n\n#include "pointwise.h"\n\nnamespace elman::ELMAN_ISA {\n',
        nonlinearity_functions(functions),
        *(one.code for one in made),
        *(make_activation(functions, name) for name in activations),
        "struct NamedCell {\n  const char* name;\n  const Cell* cell;\n};",
        "struct NamedActivation {\n  const char* name;\n  const Activation* activation;\n};",
        "inline const NamedCell CELLS[] = {",
        *(f'    {{"{one.name}", &{one.name}_cell}},' for one in made),
        "};",
        "inline const NamedActivation ACTIVATIONS[] = {",
        *(f'    {{"{name}", &{name}_activation}},' for name in activations),
        "};\n",
        "}  // namespace elman::ELMAN_ISA\n",
    ]
    return "\n".join(parts)
