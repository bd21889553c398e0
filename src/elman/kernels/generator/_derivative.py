"""The derivative of a function of one array, for a nonlinearity that came without one."""

import ast
from collections.abc import Callable

from ._source import Function, Source, fresh, name_of, names_in, parse
from ._write import OPERATORS

# f(u) differentiated by u; u is what stands in its place
_SLOPES: dict[str, str] = {
    "abs": "where(u > 0, zeros_like(u) + 1, where(u < 0, zeros_like(u) - 1, zeros_like(u)))",
    "cos": "-sin(u)",
    "exp": "exp(u)",
    "log": "1 / u",
    "log1p": "1 / (1 + u)",
    "relu": "where(u > 0, zeros_like(u) + 1, zeros_like(u))",
    "sigmoid": "sigmoid(u) * (1 - sigmoid(u))",
    "sin": "cos(u)",
    "sqrt": "1 / (2 * sqrt(u))",
    "tanh": "1 - tanh(u) * tanh(u)",
}
_Slope = ast.expr | None


def differentiate(source: Source, name: str) -> ast.FunctionDef:
    """A function `derivative(a, y)` of what `name(a)` computes, in the cell vocabulary.

    Args:
        source: where the function stands.
        name: of a function of one argument.

    Raises:
        OutsideVocabularyError: the function holds what is not in the vocabulary.
    """
    function = parse(source, name)
    (argument,) = (one.arg for one in function.node.args.args)
    used = names_in(function.node)
    one = fresh("one", used)
    slopes: dict[str, _Slope] = {argument: _code(one)}
    body: list[ast.stmt] = [ast.Assign([_store(one)], _code(f"zeros_like({argument}) + 1"))]
    for line in function.lines:
        slope = _slope(function, line.value, slopes)
        target = str(name_of(line.targets[0]))
        own = fresh(f"d_{target}", used)
        if slope is not None:
            body.append(ast.Assign([_store(own)], slope))
        body.append(line)
        slopes[target] = None if slope is None else _code(own)
    result = _slope(function, function.returned[0][0], slopes)
    body.append(ast.Return(result or _code(f"zeros_like({argument})")))
    made = ast.parse(f"def derivative({argument}, {fresh('y', used)}): pass").body[0]
    assert isinstance(made, ast.FunctionDef)
    made.body = body
    for node in ast.walk(made):
        if isinstance(node, ast.expr | ast.stmt):
            node.lineno, node.col_offset = function.node.lineno, 0
    return made


def _code(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def _slope(function: Function, node: ast.expr, slopes: dict[str, _Slope]) -> _Slope:
    """The derivative of an expression; None for zero."""

    def of(one: ast.expr) -> _Slope:
        return _slope(function, one, slopes)

    match node:
        case ast.Constant():
            return None
        case ast.Name(id=name):
            return slopes.get(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = of(operand)
            return None if inner is None else ast.UnaryOp(ast.USub(), inner)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return _of_operator(left, op, right, of(left), of(right))
        case ast.Call(func=ast.Name(id="where"), args=[chosen, yes, no]):
            return _where(chosen, of(yes), of(no), yes)
        case ast.Call(func=ast.Name(id="maximum" | "minimum" as word), args=[left, right]):
            sign = ast.Gt() if word == "maximum" else ast.Lt()
            first = ast.Compare(left, [sign], [right])
            # equal numbers share the slope, as torch has it
            same = ast.Compare(left, [ast.Eq()], [right])
            dl, dr = of(left), of(right)
            if dl is None and dr is None:
                return None
            half = _times(_code("0.5"), _sum(dl, dr, ast.Add()))
            return _where(same, half, _where(first, dl, dr, left), left)
        case ast.Call(func=ast.Name(id="zeros_like")):
            return None
        case ast.Call(func=ast.Name(id=name), args=[inner]) if name in _SLOPES:
            d = of(inner)
            return None if d is None else _times(_put(_SLOPES[name], inner), d)
        case _:
            pass
    raise function.source.refuse(
        node,
        f"`{ast.unparse(node)}` has no derivative here; give Nonlinearity(name, f, derivative).",
    )


def _of_operator(
    left: ast.expr, op: ast.operator, right: ast.expr, dl: _Slope, dr: _Slope
) -> _Slope:
    if isinstance(op, ast.Add | ast.Sub):
        return _sum(dl, dr, op)
    first = None if dl is None else _times(dl, right)
    second = None if dr is None else _times(left, dr)
    if isinstance(op, ast.Mult):
        return _sum(first, second, ast.Add())
    # (dl - dr left / right) / right
    change = None if dr is None else _times(dr, ast.BinOp(left, ast.Div(), right))
    above = _sum(dl, change, ast.Sub())
    return None if above is None else ast.BinOp(above, ast.Div(), right)


def _times(left: ast.expr, right: ast.expr | None) -> ast.expr:
    return left if right is None else ast.BinOp(left, ast.Mult(), right)


def _sum(left: _Slope, right: _Slope, op: ast.operator) -> _Slope:
    if right is None:
        return left
    if left is None:
        return ast.UnaryOp(ast.USub(), right) if isinstance(op, ast.Sub) else right
    return ast.BinOp(left, op, right)


def _where(chosen: ast.expr, yes: _Slope, no: _Slope, like: ast.expr) -> _Slope:
    if yes is None and no is None:
        return None
    zero = ast.Call(ast.Name("zeros_like", ast.Load()), [like], [])
    return ast.Call(ast.Name("where", ast.Load()), [chosen, yes or zero, no or zero], [])


def _put(text: str, inner: ast.expr) -> ast.expr:
    """A slope with an expression in place of u."""

    class Put(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return inner if node.id == "u" else node

    put: Callable[[ast.AST], ast.expr] = Put().visit
    return put(_code(text))
