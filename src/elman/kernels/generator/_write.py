"""Formulas in C++."""

import ast
from dataclasses import dataclass

from ._source import WORDS, Function, Source, name_of, parse

OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


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
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                together = self.sums.get((name_of(left) or "", name_of(right) or ""))
                if isinstance(op, ast.Add) and together:
                    return together
                joined = _joined(left, op, right)
                if joined:
                    name, *values = joined
                    return f"{name}({', '.join(self.expression(one) for one in values)})"
                sign = OPERATORS[type(op)]
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
            name = str(name_of(line.targets[0]))
            kind = "" if name in declared else "Value "
            declared.add(name)
            written.append(f"{indent}{kind}{name} = {self.expression(line.value)};")
        return written


def _joined(
    left: ast.expr, op: ast.operator, right: ast.expr
) -> tuple[str, ast.expr, ast.expr, ast.expr] | None:
    """A sum or difference with a product in it as the function of native/simd.h that rounds both at
    once, and its arguments; of two products the left one is joined. None for another expression.
    """
    match left, op, right:
        case ast.BinOp(left=a, op=ast.Mult(), right=b), ast.Add(), c:
            name = "fma"
        case c, ast.Add(), ast.BinOp(left=a, op=ast.Mult(), right=b):
            name = "fma"
        case ast.BinOp(left=a, op=ast.Mult(), right=b), ast.Sub(), c:
            name = "fms"
        case c, ast.Sub(), ast.BinOp(left=a, op=ast.Mult(), right=b):
            name = "fnma"
        case _:
            return None
    # one of numbers alone is the compiler's to work out
    if not any(isinstance(node, ast.Name) for one in (a, b, c) for node in ast.walk(one)):
        return None
    return name, a, b, c


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
            f"ELMAN_INLINE Value {in_cpp(name)}({declared}) {{",
            "  using Real [[maybe_unused]] = Real_t<Value>;",
            *body,
            "}",
            "",
        ]
    return "\n".join(written)


def in_cpp(name: str) -> str:
    """A nonlinearity's function in C++."""
    return f"words::{name}" if name in WORDS else "of" + name


def derivative_reads(source: Source, derivative: str) -> tuple[bool, bool]:
    """Whether a derivative reads the sum a, and whether it reads y = f(a)."""
    function = parse(source, derivative)
    a, y = (one.arg for one in function.node.args.args)
    used = function.uses()
    # zeros_like reads a value's shape alone
    shapes = sum(
        isinstance(node, ast.Call)
        and name_of(node.func) == "zeros_like"
        and name_of(node.args[0]) == a
        for line in function.node.body
        for node in ast.walk(line)
    )
    return used.get(a, 0) > shapes, y in used


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
            f"    return {in_cpp(f)}(a);",
            "  }",
            "  template <class Value>",
            "  static ELMAN_INLINE Value derivative(Value a, Value y) {",
            f"    return {in_cpp(str(derivative))}(a, y);",
            "  }",
            "};",
            f"inline const Activation {name}_activation = {{{int(reads_a)}, {rows}}};",
            "",
        ]
    )
