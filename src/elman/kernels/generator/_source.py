"""A cell's functions as they stand in Python: parsed, checked, not run."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

WORDS = (
    "abs", "cos", "exp", "log", "log1p", "maximum", "minimum", "relu", "sigmoid", "sin", "sqrt",
    "tanh", "where", "zeros_like",
)  # fmt: skip
# what a name of a cell may not be in C++, or is there already
_TAKEN = frozenset(
    [
        "V",
        "Real",
        "Value",
        "Vec",
        "and",
        "asm",
        "auto",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "class",
        "const",
        "continue",
        "default",
        "delete",
        "do",
        "double",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "load",
        "long",
        "namespace",
        "new",
        "not",
        "operator",
        "or",
        "private",
        "protected",
        "public",
        "register",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "store",
        "struct",
        "switch",
        "template",
        "this",
        "throw",
        "try",
        "typedef",
        "typename",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "while",
        "words",
        "xor",
    ]
)


class OutsideVocabularyError(ValueError):
    """A cell holds something that is not a formula in the cell vocabulary."""


@dataclass(frozen=True)
class Source:
    """Functions and constants of a file, parsed and not run.

    Args:
        path: the file, for messages.
        functions: by name.
        constants: the letters of gates and states, by name.
        nonlinearities: by name, each with the names of its function and its derivative.
    """

    path: str
    functions: dict[str, ast.FunctionDef]
    constants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    nonlinearities: dict[str, tuple[str, str | None]] = field(default_factory=dict)

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
        if isinstance(node, ast.Call) and name_of(node.func) == "Nonlinearity":
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


def name_of(node: ast.AST) -> str | None:
    """The name that a node is, if it is one."""
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
    """Reads a function: first the arguments are unpacked, then come formulas, then a return.

    Raises:
        OutsideVocabularyError: it holds something else, or a name that stands for nothing.
    """
    if name not in source.functions:
        raise OutsideVocabularyError(f"{source.path}: there is no function {name}.")
    node = _Renamed(source.functions[name]).visit(source.functions[name])
    arguments = [one.arg for one in node.args.args]
    unpacked: dict[str, list[str | None]] = {}
    lines: list[ast.Assign] = []
    tuples: dict[str, list[ast.expr]] = {}
    places: dict[str, int] = {}
    returned: list[list[ast.expr]] | None = None
    for statement in node.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Return) and statement.value is not None:
            _hold(tuples, places, lines, names_in(node))
            returned = _returned(statement.value, tuples)
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
            given = name_of(value)
            if isinstance(target, ast.Tuple) and given in arguments:
                names = [name_of(one) for one in target.elts]
                unpacked[str(given)] = [None if one == "_" else one for one in names]
            elif isinstance(target, ast.Name) and isinstance(value, ast.Tuple):
                tuples[target.id], places[target.id] = value.elts, len(lines)
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
    function = Function(source, node, unpacked, lines, returned)
    _check_names(function, {*arguments, *tuples})
    return function


def names_in(function: ast.FunctionDef) -> set[str]:
    """Every name that a function has, its arguments' too."""
    found = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return found | {one.arg for one in function.args.args}


def fresh(name: str, used: set[str]) -> str:
    """The name, with lines behind it until nothing else is called so; it is used from now on."""
    while name in used or name in _TAKEN:
        name += "_"
    used.add(name)
    return name


def _hold(
    tuples: dict[str, list[ast.expr]],
    places: dict[str, int],
    lines: list[ast.Assign],
    used: set[str],
) -> None:
    """Gives a value of a tuple that changes behind it a name of its own, where the tuple stands."""
    for name in sorted(tuples, key=lambda one: places[one], reverse=True):
        at = places[name]
        changed = {name_of(line.targets[0]) for line in lines[at:]}
        for i, value in enumerate(tuples[name]):
            read = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
            if read & changed:
                own = fresh(f"{name}_{i}", used)
                line = ast.Assign([ast.Name(own, ast.Store())], value)
                lines.insert(at, ast.copy_location(line, value))
                held = [*tuples[name]]
                held[i] = ast.copy_location(ast.Name(own, ast.Load()), value)
                tuples[name] = held


class _Renamed(ast.NodeTransformer):
    """Renames what C++ has taken."""

    def __init__(self, function: ast.FunctionDef) -> None:
        used = names_in(function)
        self._names = {name: fresh(name, used) for name in sorted(used & _TAKEN)}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        name = self._names.get(node.id, node.id)
        return ast.copy_location(ast.Name(name, node.ctx), node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.copy_location(ast.arg(self._names.get(node.arg, node.arg)), node)


def _check_names(function: Function, known: set[str]) -> None:
    """Raises where a name is read that nothing before gave a value."""
    known = known | {one for names in function.unpacked.values() for one in names if one}
    steps = [([line.value], name_of(line.targets[0])) for line in function.lines]
    steps.append(([one for group in function.returned for one in group], None))
    for values, given in steps:
        for value in values:
            called = {id(one.func) for one in ast.walk(value) if isinstance(one, ast.Call)}
            for node in ast.walk(value):
                if isinstance(node, ast.Name) and id(node) not in called and node.id not in known:
                    raise function.source.refuse(
                        node, f"{node.id} is no argument, no formula before, and no number."
                    )
        if given:
            known.add(given)


def _returned(value: ast.expr, tuples: dict[str, list[ast.expr]]) -> list[list[ast.expr]]:
    """A return of tuples, or of one value."""
    if not isinstance(value, ast.Tuple):
        return [[value]]
    groups: list[list[ast.expr]] = []
    for one in value.elts:
        if isinstance(one, ast.Tuple):
            groups.append(one.elts)
        elif name_of(one) in tuples:
            groups.append(tuples[str(name_of(one))])
        else:
            return [value.elts]
    return groups
