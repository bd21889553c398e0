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


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
