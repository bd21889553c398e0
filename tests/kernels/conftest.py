"""What the tests of the kernels force."""

import pytest

from elman.kernels import cpu
from elman.kernels._machine import machine, variants


@pytest.fixture(params=variants())
def variant(request, monkeypatch):
    """Instructions that the native kernels run on."""
    forced = machine(request.param)
    monkeypatch.setattr(cpu, "machine", lambda: forced)
    return request.param
