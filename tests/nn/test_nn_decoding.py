"""Decoding against enumeration."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.nn import beam_search, ctc_beam, ctc_greedy, draw, sample_sequences

START, END, V = 0, 1, 4


class State:
    """Remembers everything that was told, so that probabilities depend on all of it."""

    def __init__(self, told):
        self.told = told

    def select(self, rows):
        return State(self.told[rows])


class Model:
    """Random log-probabilities for every beginning, other ones for every row."""

    def __init__(self, seed):
        self.seed, self.rows_seen = seed, []

    def log_p(self, row, told):
        generator = torch.Generator().manual_seed(hash((self.seed, row, *told)) % 2**31)
        return (2 * torch.randn(V, generator=generator)).log_softmax(-1)

    def step(self, tokens, state):
        told = torch.cat([state.told, tokens[:, None]], 1)
        self.rows_seen.append(len(tokens))
        return torch.stack([self.log_p(r[0], r[1:]) for r in told.tolist()]), State(told)

    def start(self, rows):
        return State(torch.arange(rows)[:, None])

    def all_sequences(self, row, steps):
        for n in range(steps):
            others = [token for token in range(V) if token != END]
            for tokens in itertools.product(others, repeat=n):
                told, p = [START], 0.0
                for token in (*tokens, END):
                    p += float(self.log_p(row, told)[token])
                    told.append(token)
                yield tokens, p


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.6, 1.0]))
def test_a_wide_beam_is_exhaustive_search(seed, alpha):
    model, steps, rows = Model(seed), 3, 2
    found = beam_search(
        model.step, model.start(rows), rows=rows, start=START, end=END, steps=steps, width=60,
        alpha=alpha, best=3,
    )  # fmt: skip
    for row in range(rows):
        ranked = sorted(
            ((p / ((6 + len(t)) / 6) ** alpha, t, p) for t, p in model.all_sequences(row, steps)),
            reverse=True,
        )
        assert [one.tokens for one in found[row]] == [t for _, t, _ in ranked[:3]]
        for one, (score, _, p) in zip(found[row], ranked, strict=False):
            assert one.finished
            assert one.score == pytest.approx(score, abs=1e-5)
            assert one.log_probability == pytest.approx(p, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0]), st.integers(1, 9))
def test_width_one_is_greedy(seed, alpha, steps):
    model, rows = Model(seed), 3
    shared = {"rows": rows, "start": START, "end": END, "steps": steps}
    beams = beam_search(model.step, model.start(rows), width=1, alpha=alpha, **shared)
    greedy = sample_sequences(model.step, model.start(rows), **shared)
    for (one,), other in zip(beams, greedy, strict=True):
        assert (one.tokens, one.finished) == (other.tokens, other.finished)
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-5)


def test_a_wider_beam_is_never_worse_here_and_rows_are_independent():
    model = Model(7)
    shared = {"start": START, "end": END, "steps": 5, "width": 4}
    together = beam_search(model.step, model.start(4), rows=4, **shared)
    for row in range(4):
        one = State(torch.tensor([[row]]))
        (alone,) = beam_search(model.step, one, rows=1, **shared)
        assert alone == together[row]


def test_rows_that_have_ended_leave_the_batch():
    model = Model(3)
    sample_sequences(model.step, model.start(16), rows=16, start=START, end=END, steps=12)
    assert model.rows_seen[0] == 16
    assert model.rows_seen[-1] < 16
    model.rows_seen.clear()
    beam_search(model.step, model.start(16), rows=16, start=START, end=END, steps=12, width=2)
    assert model.rows_seen[-1] < 32


def test_without_an_end_the_beginnings_are_given():
    log_p = torch.tensor([[0.5, 0.0, 0.3, 0.2]]).log()

    def step(tokens, state):
        return log_p.expand(len(tokens), V), state

    class Nothing:
        def select(self, rows):
            return self

    found = beam_search(step, Nothing(), rows=1, start=START, end=END, steps=2, width=2)
    assert found[0][0].tokens == (0, 0)
    assert not found[0][0].finished
    with pytest.raises(ValueError, match="best=3 of width=2"):
        beam_search(step, Nothing(), rows=1, start=START, end=END, steps=2, width=2, best=3)


def test_sampling_follows_the_probabilities_and_the_seed():
    scores = torch.tensor([[1.0, 2.0, 0.0, -1.0]]).repeat(4000, 1)
    drawn = draw(scores, temperature=1.0, generator=torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=V) / len(drawn)
    torch.testing.assert_close(shares, scores[0].softmax(-1), atol=0.03, rtol=0)
    again = draw(scores, temperature=1.0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
    assert set(draw(scores, temperature=1.0, top_k=2).tolist()) == {0, 1}
    assert set(draw(scores, temperature=1.0, top_p=0.5).tolist()) == {1}


def alignments(steps, symbols, blank=0):
    """The probability of every sequence of symbols, over all paths."""
    total = {}
    for path in itertools.product(range(steps.shape[1]), repeat=len(steps)):
        merged = [s for i, s in enumerate(path) if i == 0 or s != path[i - 1]]
        found = tuple(s for s in merged if s != blank)
        p = math.exp(sum(float(steps[i, s]) for i, s in enumerate(path)))
        total[found] = total.get(found, 0.0) + p
    return total


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_ctc_beams_sum_all_alignments(seed, steps):
    generator = torch.Generator().manual_seed(seed)
    log_p = (2 * torch.randn(steps, 2, 3, generator=generator)).log_softmax(-1)
    lengths = torch.tensor([steps, max(steps - 1, 1)])
    found = ctc_beam(log_p, lengths, width=1000, best=4)
    for row, length in enumerate(lengths.tolist()):
        total = alignments(log_p[:length, row], 3)
        ranked = sorted(total, key=total.__getitem__, reverse=True)
        assert found[row][0][0] == ranked[0]
        for symbols, p in found[row]:
            assert math.exp(p) == pytest.approx(total[symbols], rel=1e-4)


def test_ctc_probabilities_are_those_of_torchs_loss():
    torch.manual_seed(0)
    log_p = torch.randn(9, 3, 5).log_softmax(-1)
    lengths = torch.tensor([9, 7, 4])
    for row, found in enumerate(ctc_beam(log_p, lengths, width=4000)):
        symbols, p = found[0]
        loss = torch.nn.functional.ctc_loss(
            log_p[:, row : row + 1], torch.tensor([symbols]), lengths[row : row + 1],
            torch.tensor([len(symbols)]), reduction="sum",
        )  # fmt: skip
        assert p == pytest.approx(-float(loss), abs=1e-4)


def test_ctc_greedy_merges_and_drops_blanks():
    path = torch.tensor([[1, 1, 0, 1, 2, 2, 0], [0, 0, 2, 2, 2, 1, 1]]).T
    log_p = torch.nn.functional.one_hot(path, 3).float().log_softmax(-1)
    assert ctc_greedy(log_p, torch.tensor([7, 5])) == [(1, 1, 2), (2,)]
