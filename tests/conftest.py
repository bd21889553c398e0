import importlib.util
import os
import sys

import pytest

# `make sanitize` runs the tests on a native module of its own
if path := os.environ.get("ELMAN_TEST_NATIVE"):
    spec = importlib.util.spec_from_file_location("elman.kernels._native", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[spec.name] = module

import torch

# the longest first, lest one of the processes that share the files be left with it at the end
LONGEST = [
    "test_docs.py", "test_cli_tasks.py", "test_tasks_same_loss.py", "test_ops_doors.py",
    "test_tasks_language_model.py", "test_cli_mistakes.py", "test_tasks_inspect.py",
    "test_train_loop.py", "test_cli.py",
]  # fmt: skip


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
