"""From a cell's Python to C++: what is refused, and where."""

import ast
import re
from pathlib import Path

import pytest
import torch

from elman import cells
from elman.kernels import generator
from elman.kernels._fields import FIELDS
from elman.kernels.generator import OutsideVocabularyError, differentiate, make_cell, read

CELLS = Path(cells.__file__).parent
STEP = """
GATES, STATES = ("h",), ("h",)

def step(wx, uh, state):
    (wx_h,) = wx
    (uh_h,) = uh
    (h,) = state
    {line}
    return (new,), (h,)

def step_backward(dstate, state, after, saved):
    (dh,) = dstate
    return (dh,), (dh,), (dh,)
"""


def _made(line):
    return make_cell(read(STEP.format(line=line), "mine.py"), "mine").code


def test_a_formula_is_itself_in_cpp():
    assert "new_ = fma(Real(0.5), words::tanh(sum_0), h);" in _made(
        "new = h + 0.5 * tanh(wx_h + uh_h)"
    ).replace("Value ", "")


@pytest.mark.parametrize(
    ("formula", "written"),
    [
        ("h * h + 1", "fma(h, h, Real(1))"),
        ("1 + h * h", "fma(h, h, Real(1))"),
        ("h * h - 1", "fms(h, h, Real(1))"),
        ("1 - h * h", "fnma(h, h, Real(1))"),
        ("-h * 2 - exp(h) / h", "fms((-h), Real(2), (words::exp(h) / h))"),
        # one of two products is rounded by itself, always the same one
        ("h * 2 + h * 3", "fma(h, Real(2), (h * Real(3)))"),
        ("h * 2 - h * 3", "fms(h, Real(2), (h * Real(3)))"),
        ("h * (2 * 3 - 1) * h + h", "fma((h * ((Real(2) * Real(3)) - Real(1))), h, h)"),
        ("h - (h + h)", "(h - (h + h))"),
    ],
)
def test_a_product_and_its_sum_are_joined_by_the_generator(formula, written):
    assert f"new_ = {written};" in _made(f"new = {formula}").replace("Value ", "")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("new = h ** 2", "mine.py:8: `h ** 2` is not in the vocabulary of a cell"),
        ("new = cosh(h)", "mine.py:8: cosh is not a word of a cell; the words are abs, cos"),
        ("new = h.tanh()", "mine.py:8: `h.tanh()` is not in the vocabulary"),
        ("new = h + x", "mine.py:8: x is no argument, no formula before, and no number."),
        ("new = True", "mine.py:8: `True` is not in the vocabulary"),
        ("new, old = h, h", "mine.py:8: only arguments are unpacked into several names."),
        ("if h: new = h", "mine.py:8: a cell is straight-line formulas; 'if' is not one."),
        ("for k in h: new = k", "mine.py:8: a cell is straight-line formulas; 'for' is not one."),
        ("new = relu(h, out=h)", "mine.py:8: `relu(h, out=h)` is not in the vocabulary"),
    ],
)
def test_what_is_no_formula_is_refused_with_its_line(line, text):
    with pytest.raises(OutsideVocabularyError) as caught:
        _made(line)
    assert text in str(caught.value)


def test_a_cell_without_its_gradient_is_refused():
    text = STEP.format(line="new = h").split("def step_backward")[0]
    with pytest.raises(
        OutsideVocabularyError, match=r"mine.py: there is no function step_backward"
    ):
        make_cell(read(text, "mine.py"), "mine")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("(dh,), (dh,), (dh,)", "(dh,), (dh,)", "returns tuples of [1, 1], needed [1, 1, 1]"),
        ("(dh,) = dstate", "dh, dc = dstate", "dstate is unpacked into 2 names, there are 1"),
        ('("h",), ("h",)', '("h",), ("h", "c")', "state is unpacked into 1 names, there are 2"),
    ],
)
def test_a_cell_that_does_not_fit_itself_is_refused(old, new, text):
    with pytest.raises(OutsideVocabularyError) as caught:
        make_cell(read(STEP.format(line="new = h").replace(old, new), "mine.py"), "mine")
    assert text in str(caught.value)


def test_a_function_that_returns_nothing_is_refused():
    text = STEP.format(line="new = h").replace("return (new,), (h,)", "pass_ = new")
    with pytest.raises(OutsideVocabularyError, match="mine.py:4: step returns nothing"):
        make_cell(read(text, "mine.py"), "mine")


@pytest.mark.parametrize("name", ["gru", "gru_reset_before", "lstm", "rnn"])
def test_every_term_of_a_cell_reaches_the_code(name, tmp_path):
    for file in CELLS.glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text("utf-8"), "utf-8")
    whole = generator.generate(tmp_path)
    text = (CELLS / f"{name}.py").read_text("utf-8")
    changed = 0
    for sign in re.finditer(r"(?<= )[+*](?= )", text):
        other = "-" if sign[0] == "+" else "+"
        broken = text[: sign.start()] + other + text[sign.end() :]
        line = text[: sign.start()].count("\n")
        if not text.split("\n")[line].startswith("    ") or _is_in_docstring(text, line):
            continue
        (tmp_path / f"{name}.py").write_text(broken, "utf-8")
        assert generator.generate(tmp_path) != whole, text.split("\n")[line]
        changed += 1
    assert changed >= 2


def _is_in_docstring(text, line):
    return any(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and node.lineno <= line + 1 <= (node.end_lineno or 0)
        for node in ast.walk(ast.parse(text))
    )


@pytest.mark.parametrize(
    "formula",
    [
        "a", "2.0", "-a * a", "a / (1 + a * a)", "3 / (2 + a)", "1 - a", "abs(a)", "cos(2 * a)",
        "exp(-a * a)", "log(2 + abs(a))", "log1p(exp(a))", "relu(a - 0.3)", "sigmoid(a) * a",
        "sin(a)", "sqrt(1 + a * a)", "tanh(a) / 1.5", "maximum(a, 0.1 * a)", "minimum(a, 1 - a)",
        "where(a > 0.2, a * a, exp(a))", "where(a < 0, zeros_like(a), a)",
        "maximum(zeros_like(a), zeros_like(a) + 1)", "abs(zeros_like(a))",
    ],
)  # fmt: skip
def test_a_derivative_is_that_of_autograd(formula):
    text = f"def f(a):\n    b = {formula}\n    c = 2 * b - b / 3\n    return c\n"
    made = differentiate(read(text, "mine.py"), "f")
    words = {name: getattr(cells, name) for name in cells.__all__}
    module = ast.Module([ast.parse(text).body[0], made], [])
    exec(compile(ast.fix_missing_locations(module), "mine.py", "exec"), words)
    a = torch.linspace(-3, 3.1, 61, dtype=torch.float64).requires_grad_()
    y = words["f"](a)
    expected = torch.zeros_like(a)
    if isinstance(y, torch.Tensor) and y.requires_grad:
        (expected,) = torch.autograd.grad(y.sum(), a)
    torch.testing.assert_close(words["derivative"](a, None).detach() + 0 * a.detach(), expected)


def test_what_has_no_derivative_says_so():
    text = "def f(a):\n    return a ** 3\n"
    with pytest.raises(OutsideVocabularyError, match=r"mine.py:2: `a \*\* 3`"):
        differentiate(read(text, "mine.py"), "f")


def test_python_and_cpp_name_the_fields_of_a_call_alike():
    header = Path(__file__).parents[2] / "native" / "call.h"
    struct = re.search(r"struct Call \{(.*?)\n\};", header.read_text("utf-8"), re.DOTALL)
    assert struct
    text = re.sub(r"//.*", "", struct[1])
    names = [
        name.strip(" *")
        for line in text.split(";")
        if line.strip()
        for name in re.sub(r"^\s*(const )?\w+[ *]+", "", line).split(",")
    ]
    assert names == list(FIELDS)
