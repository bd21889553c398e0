"""The conditional random field against enumeration of all sequences of tags."""

import itertools

import pytest
import torch

from elman.nn import CRF

K, LENGTHS = 3, torch.tensor([5, 1, 3])


def random_crf(**more):
    torch.manual_seed(0)
    crf = CRF(K, **more).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    return crf, torch.randn(5, 3, K, dtype=torch.double, requires_grad=True)


def all_scores(crf, emissions, row, length):
    """The score of every sequence of tags, summed by hand."""
    found = {}
    transitions = crf.transitions + crf.forbidden
    for tags in itertools.product(range(K), repeat=length):
        score = crf.start[tags[0]] + crf.forbidden_first[tags[0]] + crf.end[tags[-1]]
        for t, tag in enumerate(tags):
            score = score + emissions[t, row, tag]
            if t:
                score = score + transitions[tags[t - 1], tag]
        found[tags] = score
    return found


def test_likelihood_partition_and_gradients():
    crf, emissions = random_crf()
    tags = torch.randint(K, (5, 3))
    loss = crf(emissions, tags, LENGTHS)
    wanted = []
    for row, length in enumerate(LENGTHS.tolist()):
        scores = all_scores(crf, emissions, row, length)
        total = torch.logsumexp(torch.stack(list(scores.values())), 0)
        wanted.append(total - scores[tuple(tags[:length, row].tolist())])
    torch.testing.assert_close(loss, torch.stack(wanted))
    sources = [emissions, *crf.parameters()]
    for one, other in zip(
        torch.autograd.grad(loss.sum(), sources, retain_graph=True),
        torch.autograd.grad(torch.stack(wanted).sum(), sources),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    assert not torch.autograd.grad(crf(emissions, tags, LENGTHS).sum(), emissions)[0][1:, 1].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.double])
def test_the_partition_of_many_tags_and_of_scores_far_apart(dtype):
    torch.manual_seed(1)
    allowed = torch.rand(40, 40) > 0.3
    allowed.fill_diagonal_(True)
    crf = CRF(40, allowed=allowed)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=30)
    emissions = (60 * torch.randn(9, 7, 40)).to(dtype).requires_grad_()
    lengths = torch.tensor([9, 1, 5, 2, 9, 8, 3])
    with torch.autocast("cpu", torch.bfloat16):
        # what the whole is computed in is no matter of autocast
        found = crf.log_partition(emissions, lengths)
    wide = emissions.detach().double().requires_grad_()
    ahead = crf.start + crf.forbidden_first + wide[0]
    wanted = []
    for step in range(9):
        if step:
            between = (crf.transitions + crf.forbidden).double()
            ahead = torch.logsumexp(ahead[:, :, None] + between, 1) + wide[step]
        wanted += [(row, ahead[row]) for row in range(7) if lengths[row] == step + 1]
    wanted = torch.stack([torch.logsumexp(dict(wanted)[row] + crf.end, 0) for row in range(7)])
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted.to(dtype))
    (gradient,) = torch.autograd.grad(found.float().sum(), emissions)
    (expected,) = torch.autograd.grad(wanted.sum(), wide)
    torch.testing.assert_close(gradient, expected.to(dtype), rtol=1e-4, atol=1e-6)


def test_the_likeliest_tags():
    crf, emissions = random_crf()
    found = crf.decode(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        scores = all_scores(crf, emissions, row, length)
        assert tuple(found[:length, row].tolist()) == max(scores, key=scores.__getitem__)
        assert not found[length:, row].any()


def test_marginals():
    crf, emissions = random_crf()
    found = crf.marginals(emissions, LENGTHS)
    emissions = emissions.detach()
    for row, length in enumerate(LENGTHS.tolist()):
        scores = all_scores(crf, emissions, row, length)
        p = torch.stack(list(scores.values())).detach().softmax(0)
        for t in range(length):
            for tag in range(K):
                wanted = sum(p[i] for i, tags in enumerate(scores) if tags[t] == tag)
                assert float(found[t, row, tag]) == pytest.approx(float(wanted), abs=1e-9)


def test_what_is_forbidden_is_never_told():
    allowed = torch.ones(K, K, dtype=torch.bool)
    allowed[0, 1] = allowed[1, 1] = False
    crf, emissions = random_crf(allowed=allowed, first=torch.tensor([True, False, True]))
    with torch.no_grad():
        emissions[:, :, 1] += 20
    found = crf.decode(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        tags = found[:length, row].tolist()
        assert tags[0] != 1
        assert (0, 1) not in itertools.pairwise(tags)
        assert (1, 1) not in itertools.pairwise(tags)
    marginals = crf.marginals(emissions, LENGTHS)
    assert float(marginals[0, :, 1].max()) < 1e-12
