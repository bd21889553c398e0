"""What cannot be looked at is refused in one line, and what is not known is said not to be."""

import numpy as np
import pytest
import torch

import elman
from elman.diagnostics import diagnose, probe, remedies, width

X = torch.randn(9, 4, 2)


def gru():
    torch.manual_seed(0)
    return elman.nn.GRU(2, 3)


@pytest.mark.parametrize(
    ("x", "call"),
    [(X[:0], {}), (X[:, :0], {}), (X, {"lengths": torch.zeros(4, dtype=torch.int64)})],
)
def test_sequences_without_a_step_are_refused(x, call):
    with pytest.raises(ValueError, match=r"^probe: no sequence has a step; give sequences that"):
        diagnose(gru(), x, **call)


@pytest.mark.parametrize("name", ["needed", "carried", "window"])
@pytest.mark.parametrize("value", [-1, 2.5, "3"])
def test_numbers_that_cannot_be_are_refused(name, value):
    with pytest.raises(ValueError, match="^diagnose: ") as caught:
        diagnose(gru(), X, **{name: value})
    assert str(caught.value) == (
        f"diagnose: {name}={value!r}; give a whole number from 0 on, or None."
    )


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: probe(gru(), X, directions=0),
         "probe: directions=0; give a whole number above zero."),
        (lambda: width(gru(), X, lag="2"),
         "width: lag='2'; give steps before the end, 0 or more."),
        (lambda: remedies.chrono(gru(), 3.5),
         "chrono: lag=3.5; give a whole number of steps from 3 on."),
        (lambda: remedies.forget_bias(gru(), "1"), "forget_bias: bias='1'; give a number."),
        (lambda: remedies.spectral(gru(), "1"),
         "spectral: radius='1'; give a number above zero."),
    ],
)  # fmt: skip
def test_so_are_those_of_probes_and_remedies(call, text):
    with pytest.raises(ValueError, match=text[:5]) as caught:
        call()
    assert str(caught.value) == text


def test_numbers_may_be_numpys():
    layer, numpys = gru(), {"needed": np.int64(4), "carried": np.int8(2), "window": np.uint8(9)}
    found = diagnose(layer, X, seed=np.int64(2), **numpys)
    assert found == diagnose(layer, X, seed=2, needed=4, carried=2, window=9)
    assert {type(getattr(found, name)) for name in numpys} == {int}


def test_sequences_shorter_than_the_answer_lies_back_do_not_tell():
    layer = gru()
    remedies.forget_bias(layer, 3.0)
    short = diagnose(layer, X, needed=100)
    assert short.reach.lag is None
    assert short.can_learn is None
    assert short.sentence().endswith(
        "the answer lies 100 steps back: these sequences are too short to tell whether it"
        " arrives there."
    )
    assert diagnose(layer, X, needed=8).can_learn is True
    assert diagnose(layer, X, needed=9).can_learn is None
    # a window is too short however long they are
    assert diagnose(layer, X, needed=100, window=20).can_learn is False
