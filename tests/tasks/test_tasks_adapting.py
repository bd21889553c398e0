"""Cache and dynamic evaluation of language models."""

import itertools
import math

import pytest
import torch

from elman import LanguageModel
from elman.tasks import Adaptation

TEXT = ["the cat sat on the mat and the dog sat on the log. " * 12]
# what the model has not seen, over and over
OTHER = ["zebra quilt vexing jumbo fjord " * 12]


@pytest.fixture(scope="module")
def model():
    return LanguageModel(hidden_size=24, epochs=3, bptt=16, batch_size=4).fit([*TEXT, "zqvxjb fuk"])


def test_without_either_nothing_changes(model):
    plain = model.evaluate(TEXT)["loss"]
    assert model.evaluate(TEXT, adaptation=Adaptation())["loss"] == pytest.approx(plain, rel=1e-5)


def test_the_cache_is_that_of_a_loop_over_tokens(model):
    told = Adaptation(cache=7, weight=0.3, flatness=0.5)
    ids = [1, *model.vocabulary_.encode(TEXT[0][:90]).tolist(), 1][1:]
    hx, total, memory = None, 0.0, []
    with torch.no_grad():
        for t, (token, behind) in enumerate(itertools.pairwise(ids)):
            resets = torch.tensor([[t == 0]])
            features, hx = model.module_.features(torch.tensor([[token]]), hx, resets=resets)
            h = features[0, 0]
            p = float(model.module_.scores(features)[0, 0].softmax(-1)[behind])
            if memory:
                likeness = torch.tensor([0.5 * float(h @ one) for one, _ in memory]).softmax(0)
                same = torch.tensor([float(other == behind) for _, other in memory])
                p = 0.7 * p + 0.3 * float((likeness * same).sum())
            total -= math.log(p)
            memory = [*memory, (h, behind)][-7:]
    found = model.evaluate([TEXT[0][:90]], adaptation=told)
    assert found["loss"] == pytest.approx(total / (len(ids) - 1), rel=1e-4)


@pytest.mark.parametrize("adaptation", [Adaptation(cache=200, weight=0.3), Adaptation(dynamic=0.5)])
def test_a_text_that_repeats_itself_is_told_better(model, adaptation):
    before = [one.clone() for one in model.module_.parameters()]
    assert (
        model.evaluate(OTHER, adaptation=adaptation)["loss"] < model.evaluate(OTHER)["loss"] - 0.1
    )
    # the model itself has learned nothing
    after = model.module_.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight": 1.5}, "weight=1.5; give 0 up to 1"),
        ({"cache": -1}, "cache=-1; give 0 or more"),
        ({"dynamic": -0.1}, "dynamic=-0.1; give 0 or more"),
    ],
)
def test_numbers_out_of_range_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Adaptation(**options)
