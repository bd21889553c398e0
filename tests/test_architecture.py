"""Imports point down; the public surface equals `__all__`; importing elman is cheap."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import elman

SOURCE = Path(elman.__file__).parent
# each package may import those to its right, and `testing` the layers it checks
ORDER = ["cli", "serve", "tasks", "train", "diagnostics", "data", "nn", "ops", "kernels", "cells"]
ALLOWED = {name: set(ORDER[i:]) for i, name in enumerate(ORDER)}
ALLOWED["diagnostics"] -= {"data"}
ALLOWED["testing"] = {"testing", "nn", "ops", "cells"}
# kernels are imported by ops alone
for _name in set(ORDER) - {"ops", "kernels"} | {"testing"}:
    ALLOWED[_name] -= {"kernels"}
PACKAGES = sorted(m.name for m in pkgutil.iter_modules([str(SOURCE)]) if m.ispkg)


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            parts = node.module.split(".")
            if parts[0] == "elman":
                yield from [parts[1]] if len(parts) > 1 else [a.name for a in node.names]
        if isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("elman."))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_down(package):
    for path in sorted((SOURCE / package).rglob("*.py")):
        wrong = set(_imported(path)) - ALLOWED[package] - {"__version__"}
        assert not wrong, f"{path.relative_to(SOURCE)} imports {wrong}"


def test_cells_import_only_their_vocabulary():
    for path in (SOURCE / "cells").glob("[a-z]*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 1 or node.module in {"collections.abc", "functools"}, path


@pytest.mark.parametrize("package", ["", *PACKAGES])
def test_public_surface_is_all(package):
    module = importlib.import_module(f"elman.{package}" if package else "elman")
    assert module.__all__ == sorted(module.__all__, key=_as_ruff_sorts)
    for name in module.__all__:
        assert getattr(module, name) is not None
    if package:
        public = {n for n, v in vars(module).items() if not n.startswith("_") and _is_own(v)}
        assert public <= set(module.__all__)
    else:
        assert set(dir(module)) == {*module.__all__, "__version__"}


def _as_ruff_sorts(name):
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, name


def _is_own(value):
    return getattr(value, "__module__", "").startswith("elman") and not isinstance(value, type(ast))


def test_files_inside_packages_are_private():
    for package in set(PACKAGES) - {"cells", "kernels"}:
        for path in (SOURCE / package).glob("*.py"):
            assert path.name.startswith("_"), path


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lstm'"):
        elman.lstm  # noqa: B018


def test_import_elman_is_cheap():
    code = (
        "import sys, elman;"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'triton', 'pyarrow', 'numpy'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
