"""The numbers of the kernels to the last bit: those of every compiler."""

import hashlib

import numpy as np
import pytest
import torch

import elman
from elman.kernels import cpu

pytestmark = pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")
# Of inference, training and all gradients, with GCC 12, GCC 14 and Clang 14 alike; where a kernel is meant to
# give other numbers they are other ones. AVX-512 begins a division with what the processor estimates.
BITS = {
    ("portable", "RNN"): "94a9d7121bbe3fb3",
    ("portable", "GRU"): "873046d1cf4f7cf0",
    ("portable", "LSTM"): "d95f86c4ce0bd8c9",
    ("avx2", "RNN"): "bc4ec7ad5554ca70",
    ("avx2", "GRU"): "ac32b79573cc6d37",
    ("avx2", "LSTM"): "d50cf1d322cbd4e1",
}


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_the_bits_of_every_compiler(kind, variant):
    if (variant, kind) not in BITS:
        pytest.skip(f"what the instructions of {variant} give is the processor's affair")
    # the same numbers in every version of NumPy
    draw, found = np.random.RandomState(0), hashlib.sha256()

    def numbers(*shape):
        return torch.from_numpy(draw.standard_normal(shape).astype("float32"))

    for T, B, I, H in ((7, 13, 33, 40), (6, 14, 9, 70), (6, 1, 9, 70), (5, 40, 20, 130)):
        layer = getattr(elman.nn, kind)(I, H, backend="cpu")
        with torch.no_grad():
            for one in layer.parameters():
                one.copy_(numbers(*one.shape) / 4)
        x = numbers(T, B, I).requires_grad_()
        with torch.no_grad():
            found.update(layer(x)[0].numpy().tobytes())
        output, _ = layer(x)
        wanted = [x, *layer.parameters()]
        for one in (output, *torch.autograd.grad(output, wanted, numbers(T, B, H))):
            found.update(one.detach().numpy().tobytes())
    assert found.hexdigest()[:16] == BITS[variant, kind]
