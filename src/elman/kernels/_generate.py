"""Turns a cell, as it stands in Python, into C++ for the native kernels.

It reads text and imports nothing of Elman, so that the build can run it before anything is
installed: `python _generate.py FOLDER_OF_CELLS OUTPUT`. A cell is straight-line code in the cell
vocabulary; everything else is refused with its file and line.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WORDS = (
    "abs", "cos", "exp", "log", "log1p", "maximum", "minimum", "relu", "sigmoid", "sin", "sqrt",
    "tanh", "where", "zeros_like",
)  # fmt: skip
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


class OutsideVocabularyError(ValueError):
    """A cell holds something that is not a formula in the cell vocabulary."""


@dataclass(frozen=True)
class Source:
    """A file's functions and constants, parsed and not run."""

    path: str
    functions: dict[str, ast.FunctionDef]
    constants: dict[str, tuple[str, ...]]
    nonlinearities: dict[str, tuple[str, str | None]]

    def refuse(self, node: ast.AST, why: str) -> OutsideVocabularyError:
        """What to raise for a node."""
        return OutsideVocabularyError(f"{self.path}:{getattr(node, 'lineno', 0)}: {why}")


def read(text: str, path: str) -> Source:
    """Parses a file of cells or nonlinearities."""
    functions: dict[str, ast.FunctionDef] = {}
    constants: dict[str, tuple[str, ...]] = {}
    found: dict[str, tuple[str, str | None]] = {}
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = node
        if isinstance(node, ast.Assign):
            constants |= dict(_constants(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) == "Nonlinearity":
            match node.args:
                case [ast.Constant(value=str(name)), ast.Name(id=f), ast.Name(id=derivative)]:
                    found[name] = f, derivative
                case _:
                    pass
    return Source(path, functions, constants, found)


def _constants(node: ast.Assign) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of gates and states: A, B = ("x",), ("y", "z")."""
    target, value = node.targets[0], node.value
    pairs = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = list(zip(target.elts, value.elts, strict=False))
    for left, right in pairs:
        if isinstance(left, ast.Name) and isinstance(right, ast.Tuple):
            letters = [one.value for one in right.elts if isinstance(one, ast.Constant)]
            if all(isinstance(letter, str) for letter in letters):
                yield left.id, tuple(str(letter) for letter in letters)


def _name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


@dataclass
class Function:
    """One function of a cell: what its arguments unpack to, its lines, and what it returns."""

    source: Source
    node: ast.FunctionDef
    unpacked: dict[str, list[str | None]]
    lines: list[ast.Assign]
    returned: list[list[ast.expr]]

    def uses(self) -> dict[str, int]:
        """How often each name is read."""
        counts: dict[str, int] = {}
        roots: list[ast.AST] = [line.value for line in self.lines]
        roots += [one for group in self.returned for one in group]
        for root in roots:
            for node in ast.walk(root):
                if isinstance(node, ast.Name):
                    counts[node.id] = counts.get(node.id, 0) + 1
        return counts


def parse(source: Source, name: str) -> Function:
    """Reads a function: first the arguments are unpacked, then come formulas, then a return."""
    node = source.functions[name]
    arguments = [one.arg for one in node.args.args]
    unpacked: dict[str, list[str | None]] = {}
    lines: list[ast.Assign] = []
    tuples: dict[str, list[ast.expr]] = {}
    returned: list[list[ast.expr]] | None = None
    for statement in node.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Return) and statement.value is not None:
            returned = _returned(statement.value, tuples)
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
            given = _name(value)
            if isinstance(target, ast.Tuple) and given in arguments:
                names = [_name(one) for one in target.elts]
                unpacked[str(given)] = [None if one == "_" else one for one in names]
            elif isinstance(target, ast.Name) and isinstance(value, ast.Tuple):
                tuples[target.id] = value.elts
            elif isinstance(target, ast.Name):
                lines.append(statement)
            else:
                raise source.refuse(statement, "only arguments are unpacked into several names.")
        else:
            what = type(statement).__name__.lower()
            raise source.refuse(
                statement, f"a cell is straight-line formulas; {what!r} is not one. Write where()."
            )
    if returned is None:
        raise source.refuse(node, f"{name} returns nothing.")
    return Function(source, node, unpacked, lines, returned)


def _returned(value: ast.expr, tuples: dict[str, list[ast.expr]]) -> list[list[ast.expr]]:
    """A return of tuples, or of one value."""
    if not isinstance(value, ast.Tuple):
        return [[value]]
    groups: list[list[ast.expr]] = []
    for one in value.elts:
        if isinstance(one, ast.Tuple):
            groups.append(one.elts)
        elif _name(one) in tuples:
            groups.append(tuples[str(_name(one))])
        else:
            return [value.elts]
    return groups


@dataclass
class Writer:
    """Writes a function's expressions in C++; `bound` says what a function argument stands for."""

    source: Source
    bound: dict[str, str]
    sums: dict[tuple[str, str], str]

    def expression(self, node: ast.expr) -> str:
        """One expression, or a refusal with its line."""
        match node:
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int() | float() as number):
                return f"Real({number!r})"
            case ast.Name(id=name):
                return name
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"(-{self.expression(operand)})"
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                together = self.sums.get((_name(left) or "", _name(right) or ""))
                if isinstance(op, ast.Add) and together:
                    return together
                sign = _OPERATORS[type(op)]
                return f"({self.expression(left)} {sign} {self.expression(right)})"
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                sign = _COMPARISONS[type(op)]
                return f"({self.expression(left)} {sign} {self.expression(right)})"
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                values = ", ".join(self.expression(one) for one in args)
                if name in self.bound:
                    return f"{self.bound[name]}({values})"
                if name in WORDS:
                    return f"words::{name}({values})"
                raise self.source.refuse(
                    node, f"{name} is not a word of a cell; the words are {', '.join(WORDS)}."
                )
            case _:
                pass
        raise self.source.refuse(
            node, f"`{ast.unparse(node)}` is not in the vocabulary of a cell: + - * /, comparisons,"
            f" numbers, and {', '.join(WORDS)}."
        )  # fmt: skip

    def lines(self, function: Function, indent: str, declared: set[str]) -> list[str]:
        """The function's formulas, one a line."""
        written: list[str] = []
        for line in function.lines:
            name = str(_name(line.targets[0]))
            kind = "" if name in declared else "Value "
            declared.add(name)
            written.append(f"{indent}{kind}{name} = {self.expression(line.value)};")
        return written


def nonlinearity_functions(source: Source) -> str:
    """The functions of a file of nonlinearities, as C++ templates."""
    written: list[str] = []
    for name in sorted({one for pair in source.nonlinearities.values() for one in pair if one}):
        if name in WORDS:
            continue
        function = parse(source, name)
        arguments = [one.arg for one in function.node.args.args]
        used = function.uses()
        declared = ", ".join(f"Value {one if one in used else ''}".strip() for one in arguments)
        writer = Writer(source, {}, {})
        body = writer.lines(function, "  ", set(arguments))
        body.append(f"  return {writer.expression(function.returned[0][0])};")
        written += [
            f"// {source.path}: {name}",
            "template <class Value>",
            f"ELMAN_INLINE Value {_cpp(name)}({declared}) {{",
            "  using Real [[maybe_unused]] = Real_t<Value>;",
            *body,
            "}",
            "",
        ]
    return "\n".join(written)


def _cpp(name: str) -> str:
    """A nonlinearity's function in C++."""
    return f"words::{name}" if name in WORDS else "of" + name


def derivative_reads(source: Source, derivative: str) -> tuple[bool, bool]:
    """Whether a derivative reads the sum a, and whether it reads y = f(a)."""
    function = parse(source, derivative)
    a, y = (one.arg for one in function.node.args.args)
    used = function.uses()
    # zeros_like reads a value's shape alone
    shapes = sum(
        isinstance(node, ast.Call) and _name(node.func) == "zeros_like" and _name(node.args[0]) == a
        for line in function.node.body
        for node in ast.walk(line)
    )
    return used.get(a, 0) > shapes, y in used


@dataclass(frozen=True)
class Made:
    """A generated cell: its code, and what Python has to know of it."""

    name: str
    code: str
    saved: int


def make_cell(
    source: Source, name: str, nonlinearity: tuple[Source, str, str] | None = None
) -> Made:
    """Writes a cell: its step, its gradient, and the table that the schedules read.

    Args:
        source: the cell's file.
        name: what it is called in C++.
        nonlinearity: for a cell whose step takes f and whose gradient takes its derivative, where
            they are and what they are called.
    """
    gates, states = source.constants["GATES"], source.constants["STATES"]
    first = source.constants.get("FIRST", ())
    bound: dict[str, str] = {}
    dead: set[str] = set()
    if nonlinearity is not None:
        where, f, derivative = nonlinearity
        bound = {"f": _cpp(f), "derivative": _cpp(derivative)}
        reads_a, _ = derivative_reads(where, derivative)
        dead = set() if reads_a else {"a"}
    step, backward = parse(source, "step"), parse(source, "step_backward")
    stages = [step]
    if first:
        stages.append(parse(source, "operand"))
    apart = [gate for gate in range(len(gates)) if not _summed(stages, gate)]
    kept = _kept(backward, dead)
    forward = _forward(step, f"{name}_step", apart, kept, 0, bound, source)
    slots = _Slots(len(gates), backward)
    code = [forward, _backward(backward, f"{name}_step_backward", slots, kept, 0, bound, source)]
    operand = operand_backward = "nullptr"
    count = len(kept)
    if first:
        behind = parse(source, "operand_backward")
        more = _kept(behind, set())
        code.append(
            _forward(stages[1], f"{name}_operand", apart, more, len(kept), bound, source)
        )  # fmt: skip
        slots.add_operand(behind)
        code.append(
            _backward(behind, f"{name}_operand_backward", slots, more, len(kept), bound, source)
        )  # fmt: skip
        operand, operand_backward = f"{name}_operand", f"{name}_operand_backward"
        count += len(more)
    mask = sum(1 << gate for gate in apart)
    direct = int(not _is_zero(backward.returned[2][0]))
    row = f"{{{len(gates)}, {len(states)}, {count}, {mask}, {slots.count}, "
    row += f"{{{_numbers(slots.dwx)}}}, {{{_numbers(slots.duh)}}}, {len(first)}, {direct}"
    for function in (f"{name}_step", f"{name}_step_backward", operand, operand_backward):
        for real in ("float", "double"):
            row += ", nullptr" if function == "nullptr" else f",\n    {function}<{real}>"
    code.append(f"inline const Cell {name}_cell = {row}}};\n")
    return Made(name, "\n".join(code), count)


def _numbers(values: list[int]) -> str:
    return ", ".join(map(str, values))


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) == "zeros_like"


def _summed(stages: list[Function], gate: int) -> bool:
    """Whether a gate's two products are used as their sum alone."""
    for stage in stages:
        names = [(stage.unpacked.get(one) or [])[gate : gate + 1] for one in ("wx", "uh")]
        (wx,), (uh,) = (one or [None] for one in names)
        if wx is None and uh is None:
            continue
        together = sum(
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add)
            and (_name(node.left), _name(node.right)) == (wx, uh)
            for line in stage.lines
            for node in ast.walk(line.value)
        )
        uses = stage.uses()
        if not together == uses.get(wx or "", 0) == uses.get(uh or "", 0):
            return False
    return True


def _kept(backward: Function, dead: set[str]) -> list[int]:
    """Which of the saved values the gradient reads."""
    used = backward.uses()
    names = backward.unpacked.get("saved", [])
    return [i for i, one in enumerate(names) if one and used.get(one, 0) and one not in dead]


class _Slots:
    """Which of the stored gate gradients belongs to each gate of each product."""

    def __init__(self, gates: int, backward: Function) -> None:
        self.count = gates
        self.dwx = list(range(gates))
        self.duh = list(range(gates))
        self.written: list[tuple[int, ast.expr]] = []
        dwx, duh, _ = backward.returned
        for gate, (left, right) in enumerate(zip(dwx, duh, strict=True)):
            if _is_zero(left) and _is_zero(right):
                continue
            self.written.append((gate, left))
            if ast.dump(left) != ast.dump(right):
                self.duh[gate] = self.count
                self.written.append((self.count, right))
                self.count += 1

    def add_operand(self, backward: Function) -> None:
        """The gates that the operand's gradient gives."""
        dwx, duh, _ = backward.returned
        self.written = []
        for gate, (left, right) in enumerate(zip(dwx, duh, strict=True)):
            if _is_zero(left):
                continue
            if ast.dump(left) != ast.dump(right):
                raise backward.source.refuse(
                    backward.node, "a gate before the operand has one gradient for both products."
                )
            self.written.append((gate, left))


def _head(name: str, source: Source, function: Function, tile: str) -> list[str]:
    return [
        f"// {source.path}: {function.node.name}",
        "template <class Real>",
        f"void {name}(const {tile}<Real>& tile_) {{",
        "  constexpr int V = LANES<Real>;",
        "  using Value = Vec<Real>;",
        "  for (int64_t v_ = 0; v_ * V < tile_.units; ++v_) {",
        "    const int64_t n_ = smaller(V, tile_.units - v_ * V), at_ = tile_.unit + v_ * V;",
        "    for (int64_t m_ = 0; m_ < tile_.rows; ++m_) {",
    ]


def _foot() -> list[str]:
    return ["    }", "  }", "}", ""]


def _forward(
    function: Function, name: str, apart: list[int], kept: list[int], skip: int,
    bound: dict[str, str], source: Source,
) -> str:  # fmt: skip
    """A step, or the operand of a second product, on a tile."""
    indent, used = " " * 6, function.uses()
    body: list[str] = []
    declared: set[str] = set()
    sums: dict[tuple[str, str], str] = {}
    wx, uh = function.unpacked.get("wx", []), function.unpacked.get("uh", [])
    for gate, (left, right) in enumerate(zip(wx, uh, strict=True)):
        load = f"[{gate}] + m_ * tile_.{{0}}_row[{gate}] + v_ * V);"
        if gate in apart:
            for one, letter in ((left, "wx"), (right, "uh")):
                if one and used.get(one):
                    body.append(
                        f"{indent}const Value {one} = load(tile_.{letter}{load.format(letter)}"
                    )
        elif left and right and used.get(left):
            sums[left, right] = f"sum_{gate}"
            body.append(f"{indent}const Value sum_{gate} = load(tile_.uh{load.format('uh')}")
    for s, one in enumerate(function.unpacked.get("state", [])):
        if one and used.get(one):
            declared.add(one)
            body.append(f"{indent}Value {one} = load(tile_.state[{s}][m_] + at_, n_);")
    writer = Writer(source, bound, sums)
    body += writer.lines(function, indent, declared)
    after, saved = function.returned
    for s, one in enumerate(after):
        body.append(f"{indent}store(tile_.after[{s}][m_] + at_, {writer.expression(one)}, n_);")
    if kept:
        body.append(f"{indent}if (tile_.saved) {{")
        body.append(f"{indent}  Real* const record_ = tile_.saved[m_] + at_;")
        for place, i in enumerate(kept):
            value = writer.expression(saved[i])
            body.append(f"{indent}  store(record_ + {skip + place} * tile_.saved_stride, {value});")
        body.append(f"{indent}}}")
    return "\n".join([*_head(name, source, function, "StepTile"), *body, *_foot()])


def _backward(
    function: Function, name: str, slots: _Slots, kept: list[int], skip: int,
    bound: dict[str, str], source: Source,
) -> str:  # fmt: skip
    """The gradient of a step, or of the operand, on a tile."""
    indent, used = " " * 6, function.uses()
    body: list[str] = []
    declared: set[str] = set()
    is_step = "dstate" in function.unpacked
    for s, one in enumerate(function.unpacked.get("dstate" if is_step else "doperand", [])):
        if not one:
            continue
        declared.add(one)
        body.append(f"{indent}Value {one} = load(tile_.dafter[{s}][m_] + at_, n_);")
        if s == 0 and is_step:
            body.append(f"{indent}if (tile_.doutput) {one} += load(tile_.doutput[m_] + at_, n_);")
    for letter in ("state", "after"):
        for s, one in enumerate(function.unpacked.get(letter, [])):
            if one and used.get(one):
                declared.add(one)
                body.append(f"{indent}Value {one} = load(tile_.{letter}[{s}][m_] + at_, n_);")
    names = function.unpacked.get("saved", [])
    for i, one in enumerate(names):
        if not one or not used.get(one):
            continue
        declared.add(one)
        if i in kept:
            place = skip + kept.index(i)
            value = f"load(tile_.saved[m_] + at_ + {place} * tile_.saved_stride)"
            body.append(f"{indent}Value {one} = {value};")
        else:
            body.append(f"{indent}const Value {one}{{}};")
    writer = Writer(source, bound, {})
    body += writer.lines(function, indent, declared)
    body.append(f"{indent}Real* const gates_ = tile_.dgates[m_] + at_ / V * tile_.unit_stride;")
    for slot, value in slots.written:
        body.append(
            f"{indent}store(gates_ + {slot} * tile_.gate_stride, {writer.expression(value)}, n_);"
        )
    for s, value in enumerate(function.returned[2]):
        if s == 0 and _is_zero(value):
            continue
        to = f"tile_.dstate[{s}][m_] + at_"
        add = "" if is_step else f"load({to}, n_) + "
        body.append(f"{indent}store({to}, {add}{writer.expression(value)}, n_);")
    return "\n".join([*_head(name, source, function, "BackwardTile"), *body, *_foot()])


def make_activation(source: Source, name: str) -> str:
    """A nonlinearity of the output layer."""
    f, derivative = source.nonlinearities[name]
    reads_a, _ = derivative_reads(source, str(derivative))
    rows = ", ".join(
        f"{kind}<{real}, {name}_function>"
        for kind in ("apply", "derive")
        for real in ("float", "double")
    )
    return "\n".join(
        [
            f"struct {name}_function {{",
            "  template <class Value>",
            "  static ELMAN_INLINE Value f(Value a) {",
            f"    return {_cpp(f)}(a);",
            "  }",
            "  template <class Value>",
            "  static ELMAN_INLINE Value derivative(Value a, Value y) {",
            f"    return {_cpp(str(derivative))}(a, y);",
            "  }",
            "};",
            f"inline const Activation {name}_activation = {{{int(reads_a)}, {rows}}};",
            "",
        ]
    )


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
    parts = [
        "// Made by elman/kernels/_generate.py from the Python of the cells; edit that.",
        '#pragma once\n\n#include "pointwise.h"\n\nnamespace elman::ELMAN_ISA {\n',
        nonlinearity_functions(functions),
        *(one.code for one in made),
        *(make_activation(functions, name) for name in functions.nonlinearities),
        "struct NamedCell {\n  const char* name;\n  const Cell* cell;\n};",
        "struct NamedActivation {\n  const char* name;\n  const Activation* activation;\n};",
        "inline const NamedCell CELLS[] = {",
        *(f'    {{"{one.name}", &{one.name}_cell}},' for one in made),
        "};",
        "inline const NamedActivation ACTIVATIONS[] = {",
        *(f'    {{"{name}", &{name}_activation}},' for name in functions.nonlinearities),
        "};\n",
        "}  // namespace elman::ELMAN_ISA\n",
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(generate(Path(sys.argv[1])), "utf-8")
