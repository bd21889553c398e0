"""The surprise under a large vocabulary against torch's linear and cross_entropy."""

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from elman.tasks._token_loss import token_loss
from tests.tolerances import assert_close

# fewer rows than a piece, one piece, several with a rest
ROWS = (1, 128, 301)


def given(rows, dtype=torch.float32, size=7, tokens=53, scale=1.0):
    generator = torch.Generator().manual_seed(rows)

    def draw(*shape):
        return (scale * torch.randn(*shape, generator=generator, dtype=dtype)).requires_grad_()

    target = torch.randint(0, tokens, (rows,), generator=generator)
    return draw(rows, size), draw(tokens, size), draw(tokens), target


def gradients(loss, tensors):
    return [loss, *torch.autograd.grad(3 * loss, tensors)]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_torchs_loss_and_gradient(rows, dtype):
    *tensors, target = given(rows, dtype)
    features, weight, bias = tensors
    expected = gradients(cross_entropy(linear(features, weight, bias), target), tensors)
    found = gradients(token_loss(*tensors, target), tensors)
    for what, one, other in zip(
        ("loss", "features", "weight", "bias"), found, expected, strict=True
    ):
        assert_close(one, other, "backward", what)
    with torch.no_grad():
        assert_close(token_loss(*tensors, target), expected[0].detach(), "forward", "without graph")


def test_under_autocast_it_is_torchs_to_bfloat16s_digits():
    *tensors, target = given(301)
    features, weight, bias = tensors
    with torch.autocast("cpu", torch.bfloat16):
        expected = gradients(cross_entropy(linear(features, weight, bias), target), tensors)
        found = gradients(token_loss(*tensors, target), tensors)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype is torch.float32
        # a bfloat16 has eight digits
        assert (one - other).detach().abs().max() < 2 * 2**-8 * other.detach().abs().max()


def test_a_token_that_could_not_be_has_a_finite_surprise():
    *tensors, target = given(130, scale=30.0)
    features, weight, bias = tensors
    expected = cross_entropy(linear(features, weight, bias), target)
    # far below what a float32's probability can say
    assert expected > 400
    found = gradients(token_loss(*tensors, target), tensors)
    assert_close(found[0], expected, "backward", "loss")
    assert all(one.isfinite().all() for one in found)


def test_only_what_is_wanted_has_a_gradient():
    features, weight, bias, target = given(5)
    weight.requires_grad_(False)
    token_loss(features, weight, bias, target).backward()
    assert weight.grad is None
    assert features.grad is not None
