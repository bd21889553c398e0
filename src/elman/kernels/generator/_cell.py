"""A cell in C++: its step, its gradient, and the table that the schedules read."""

import ast
from dataclasses import dataclass

from ._source import Function, Source, name_of, parse
from ._write import Writer, derivative_reads, in_cpp

# native/call.h
MOST_GATES, MOST_STATES = 6, 2


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
        bound = {"f": in_cpp(f), "derivative": in_cpp(derivative)}
        reads_a, _ = derivative_reads(where, derivative)
        dead = set() if reads_a else {"a"}
    step, backward = parse(source, "step"), parse(source, "step_backward")
    _check_counts(source, step, backward, len(gates), len(states))
    stages = [step]
    if first:
        stages.append(parse(source, "operand"))
    apart = [gate for gate in range(len(gates)) if not _summed(stages, gate)]
    kept = _kept(backward, dead)
    forward = _forward(step, f"{name}_step", apart, kept, 0, bound, source)
    slots = _Slots(len(gates), backward)
    code = [forward, _backward(backward, f"{name}_step_backward", slots, kept, 0, bound, source)]
    operand = operand_backward = "nullptr"
    count, reads = len(kept), _reads(backward)
    if first:
        behind = parse(source, "operand_backward")
        more = _kept(behind, set())
        code.append(
            _forward(stages[1], f"{name}_operand", apart, more, len(kept), bound, source)
        )  # fmt: skip
        slots.add_operand(behind)
        reads |= _reads(behind)
        code.append(
            _backward(behind, f"{name}_operand_backward", slots, more, len(kept), bound, source)
        )  # fmt: skip
        operand, operand_backward = f"{name}_operand", f"{name}_operand_backward"
        count += len(more)
    if slots.count > MOST_GATES:
        raise source.refuse(
            backward.node,
            f"the gates have {slots.count} different gradients, at most {MOST_GATES} are kept.",
        )
    mask = sum(1 << gate for gate in apart)
    direct = int(not _is_zero(backward.returned[2][0]))
    row = f"{{{len(gates)}, {len(states)}, {count}, {mask}, {slots.count}, "
    row += f"{{{_numbers(slots.dwx)}}}, {{{_numbers(slots.duh)}}}, {len(first)}, {direct}, {reads}"
    row += f", {_adds(backward)}"
    functions = (f"{name}_step", f"{name}_step_backward", operand, operand_backward)
    for function in functions:
        for real in ("float", "double"):
            row += ", nullptr" if function == "nullptr" else f",\n    {function}<{real}, {real}>"
    for function in functions:
        row += ", nullptr" if function == "nullptr" else f",\n    ELMAN_LOW({function})"
    code.append(f"inline const Cell {name}_cell = {row}}};\n")
    return Made(name, "\n".join(code), count)


def _check_counts(
    source: Source, step: Function, backward: Function, gates: int, states: int
) -> None:
    """Raises where a cell takes or gives more or fewer things than it has."""
    saved = len(step.returned[1]) if len(step.returned) == 2 else 0
    counts = [("wx", gates), ("uh", gates), ("state", states), ("dstate", states)]
    counts += [("after", states), ("saved", saved)]
    for function in (step, backward):
        for name, count in counts:
            given = function.unpacked.get(name)
            if given is not None and len(given) != count:
                raise source.refuse(
                    function.node, f"{name} is unpacked into {len(given)} names, there are {count}."
                )
    for function, wanted in ((step, [states, saved]), (backward, [gates, gates, states])):
        found = [len(group) for group in function.returned]
        if found != wanted:
            raise source.refuse(
                function.node, f"{function.node.name} returns tuples of {found}, needed {wanted}."
            )
    if gates > MOST_GATES or states > MOST_STATES:
        raise source.refuse(
            step.node,
            f"a cell has at most {MOST_GATES} gates and {MOST_STATES} states, not {gates} and"
            f" {states}.",
        )


def _numbers(values: list[int]) -> str:
    return ", ".join(map(str, values))


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and name_of(node.func) == "zeros_like"


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
            and (name_of(node.left), name_of(node.right)) == (wx, uh)
            for line in stage.lines
            for node in ast.walk(line.value)
        )
        uses = stage.uses()
        if not together == uses.get(wx or "", 0) == uses.get(uh or "", 0):
            return False
    return True


def _reads(backward: Function) -> int:
    """Which states a gradient reads: as bits those before the step, then those after it."""
    used, bits = backward.uses(), 0
    for place, group in enumerate(("state", "after")):
        for s, one in enumerate(backward.unpacked.get(group, [])):
            if one and used.get(one, 0):
                bits |= 1 << (place * MOST_STATES + s)
    return bits


def _adds(backward: Function) -> int:
    """Of which states, as bits, the step itself adds to the gradient."""
    changed = {name_of(line.targets[0]) for line in backward.lines}
    names = backward.unpacked.get("dstate", [])
    return sum(1 << s for s, one in enumerate(names) if one in changed)


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
        "template <class Real, class Saved>",
        f"void {name}(const {tile}<Real, Saved>& given_) {{",
        # a copy that no store can reach: its pointers stay in registers
        f"  const {tile}<Real, Saved> tile_ = given_;",
        "  constexpr int V = LANES<Real>;",
        "  using Value = Vec<Real>;",
        "  for (int64_t m_ = 0; m_ < tile_.rows; ++m_) {",
        "    for (int64_t v_ = 0; v_ * V < tile_.units; ++v_) {",
        "      const int64_t n_ = smaller(V, tile_.units - v_ * V), at_ = tile_.unit + v_ * V;",
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
        body.append(f"{indent}  Saved* const record_ = tile_.saved[m_] + at_;")
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
    # by now the name of a state's gradient stands for all of it
    for s, one in enumerate(function.unpacked["dstate"] if is_step else []):
        if one:
            to = f"tile_.dtotal[{s}]"
            body.append(f"{indent}if ({to}) store({to}[m_] + at_, {one}, n_);")
    body.append(f"{indent}Real* const gates_ = tile_.dgates[m_] + at_ / V * tile_.unit_stride;")
    for slot, value in slots.written:
        body.append(
            f"{indent}store(gates_ + {slot} * tile_.gate_stride, {writer.expression(value)}, n_);"
        )
    for s, value in enumerate(function.returned[2]):
        if s == 0 and _is_zero(value):
            continue
        to = f"tile_.dstate[{s}][m_] + at_"
        if not is_step:
            body.append(f"{indent}const Value before_{s} = load({to}, n_);")
            value = ast.BinOp(ast.Name(f"before_{s}"), ast.Add(), value)
        body.append(f"{indent}store({to}, {writer.expression(value)}, n_);")
    return "\n".join([*_head(name, source, function, "BackwardTile"), *body, *_foot()])
