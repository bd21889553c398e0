"""The vectors' words against torch in float64: over the whole range, infinities and NaN included."""

import pytest
import torch

from elman.kernels import cpu
from elman.kernels._machine import machine, native, variants

pytestmark = pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")

# the largest error in units of the last place, where the true value is a normal number
ULP = {
    "abs": 0, "cos": 1, "exp": 2, "log": 1, "log1p": 1, "relu": 0, "sigmoid": 4, "sin": 1, "sqrt": 0.5,
    "tanh": 4,
}  # fmt: skip
SAFE = {torch.float32: 87, torch.float64: 708}


def _word(variant, name, x):
    y = x.clone()
    size = x.element_size()
    assert native.word(machine(variant).kernels, name, y.data_ptr(), y.numel(), size)
    return y


def _every_float():
    """Every 1999th float of either sign: all exponents, and denormals."""
    bits = torch.arange(0, 0x7F800000, 1999, dtype=torch.int32)
    x = bits.view(torch.float32)
    return torch.cat([x, -x])


def _doubles():
    exponents = torch.linspace(-320, 308, 400_001, dtype=torch.float64)
    x = 10.0**exponents * (1 + torch.rand(400_001, dtype=torch.float64))
    near = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    return torch.cat([x, -x, near])


def _exact(name, x):
    """The true value, in float64; for doubles torch's own, which is within 1 ulp."""
    return getattr(torch, name)(x.double())


def _error_in_ulp(found, exact, dtype):
    spacing = torch.finfo(dtype).eps * 2.0 ** torch.floor(torch.log2(exact.abs()))
    return (found.double() - exact).abs() / spacing


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ULP)
@pytest.mark.parametrize("variant", variants())
def test_the_largest_error(variant, name, dtype):
    x = _every_float() if dtype == torch.float32 else _doubles()
    if name in ("log", "sqrt"):
        x = x[x > 0]
    if name == "log1p":
        x = x[x > -1]
    found, exact = _word(variant, name, x), _exact(name, x)
    limits = torch.finfo(dtype)
    normal = torch.isfinite(exact) & (exact.abs() >= limits.tiny) & (exact.abs() <= limits.max)
    if name == "sigmoid":
        # below, it stays at its least value
        normal &= x > -SAFE[dtype]
    # doubles are compared with torch's own, one rounding away from the truth
    allowed = ULP[name] + (1 if dtype == torch.float64 and ULP[name] else 0)
    error = _error_in_ulp(found[normal], exact[normal], dtype)
    assert error.max() <= allowed, (x[normal][error.argmax()].item(), error.max().item())
    tiny = ~normal & torch.isfinite(exact) & (exact.abs() < limits.tiny)
    assert ((found[tiny].double() - exact[tiny]).abs() <= 3 * limits.tiny).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ULP)
@pytest.mark.parametrize("variant", variants())
def test_the_ends_of_the_range(variant, name, dtype):
    x = torch.tensor([torch.inf, -torch.inf, torch.nan, 0.0, -0.0], dtype=dtype)
    found, expected = _word(variant, name, x), getattr(torch, name)(x)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=2e-38, equal_nan=True)


@pytest.mark.parametrize("name", ["tanh", "sin", "relu", "abs"])
@pytest.mark.parametrize("variant", variants())
def test_the_sign_of_zero_is_torchs(variant, name):
    x = torch.tensor([0.0, -0.0])
    found, expected = _word(variant, name, x), getattr(torch, name)(x)
    assert torch.equal(torch.signbit(found), torch.signbit(expected))
