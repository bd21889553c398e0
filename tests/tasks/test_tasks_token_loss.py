"""The surprise under a large vocabulary against torch's linear and cross_entropy."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from elman.tasks._token_loss import _candidates, sampled_token_loss, token_loss
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


def sampled_sum(tensors, target, candidates):
    """What the exponentials of a row's scores sum to, by the sampled loss."""
    features, weight, bias = tensors
    value = sampled_token_loss(features, weight, bias, target, candidates)
    return float((value + linear(features, weight, bias)[0, target[0]]).exp())


def test_the_sampled_sum_has_the_softmaxs_as_its_mean():
    torch.manual_seed(0)
    *tensors, target = given(1, torch.float64)
    tensors = [one.detach() for one in tensors]
    features, weight, bias = tensors
    whole = float(linear(features, weight, bias).exp().sum())
    found = torch.tensor([sampled_sum(tensors, target, 20) for _ in range(4000)])
    error = found.std() / len(found) ** 0.5
    assert found.std() > 0.01 * whole
    assert abs(found.mean() - whole) < 4 * error


@pytest.mark.parametrize("candidates", [53, 60])
def test_with_all_tokens_the_sampled_loss_is_the_full_one(candidates):
    *tensors, target = given(9)
    expected = gradients(token_loss(*tensors, target), tensors)
    found = gradients(sampled_token_loss(*tensors, target, candidates), tensors)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_sampled_losss_gradient_is_autograds():
    *tensors, target = given(7, torch.float64)
    features, weight, bias = tensors
    torch.manual_seed(3)
    found = gradients(sampled_token_loss(*tensors, target, 24), tensors)
    # the tokens of the same draw: those whose bias has a gradient
    ids = found[3].nonzero().flatten()
    certain = (ids < 12) | torch.isin(ids, target)
    drawn = int((~certain).sum())
    assert drawn >= 24 // 4
    scale = (~certain).double() * math.log((53 - int(certain.sum())) / drawn)
    scores = linear(features, weight, bias)
    sums = (scores[:, ids] + scale).logsumexp(1)
    expected = gradients((sums - scores.gather(1, target[:, None])[:, 0]).mean(), tensors)
    for what, one, other in zip(
        ("loss", "features", "weight", "bias"), found, expected, strict=True
    ):
        assert_close(one, other, "backward", what)


def test_every_target_is_scored_and_half_of_the_tokens_are_the_first():
    target = torch.tensor([52, 3, 40])
    ids, drawn, rest = _candidates(target, 53, 24)
    assert ids[:14].tolist() == [*range(12), 40, 52]
    assert len(ids) == 24
    assert len(set(ids.tolist())) == 24
    assert (drawn, rest) == (10, 39)
