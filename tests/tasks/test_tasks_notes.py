"""Language models of music: the measure, what they learn, how they go on, the estimator's contract."""

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone

import elman
from elman.data import KEYS, keys_of, notes_of
from elman.tasks import Adaptation
from elman.tasks._note_network import NextNotes, Pieces, figures_of, transposed

TUNE = [[60, 64], [62], [64, 67], []]


def tunes(count=24, seed=0):
    """The tune from any of its steps on, of many lengths."""
    rng = np.random.default_rng(seed)
    return [
        [TUNE[(start + i) % 4] for i in range(rng.integers(5, 20))]
        for start in rng.integers(4, size=count)
    ]


def model(**more):
    options = {"hidden_size": 32, "epochs": 15, "batch_size": 2, "lr": 0.02}
    return elman.LanguageModel(level="notes", **{**options, **more})


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.module_.parameters()])


def by_hand(module, piece):
    """The surprise of each step of a piece, one step after another, one key after another."""
    told, hx = [], None
    for before, now in zip([np.zeros(KEYS, np.float32), *piece], piece, strict=False):
        scores, hx = module(torch.from_numpy(before)[None, None], hx)
        chances = torch.sigmoid(scores[0, 0].double()).tolist()
        told.append(
            -sum(math.log(p if key else 1 - p) for p, key in zip(chances, now, strict=True))
        )
    return told


@pytest.mark.parametrize("options", [{}, {"cell": "gru", "num_layers": 2}], ids=str)
def test_the_measure_is_that_of_a_loop_by_hand(options):
    fitted = model(epochs=1, **options).fit(tunes())
    pieces = [keys_of(one, "") for one in [*tunes(7, seed=1), [[21], [108]]]]
    with torch.no_grad():
        steps = [by_hand(fitted.module_, piece) for piece in pieces]
    behind = [one for told in steps for one in told[1:]]
    everything = [one for told in steps for one in told]
    for batch_size in (1, 3, 32):
        found = figures_of(fitted.module_, pieces, batch_size)
        assert found["loss"] == pytest.approx(np.mean(behind), rel=1e-5)
        assert found["loss_with_first"] == pytest.approx(np.mean(everything), rel=1e-5)
        assert found["held_out_steps"] == len(behind)
    # trained on is the mean over all steps
    objective = NextNotes(fitted.module_)
    with torch.no_grad():
        losses = [objective.loss(batch, None) for batch in Pieces(pieces, batch_size=3).epoch(0)]
    values, sizes = zip(*((float(one.value), one.weight) for one in losses), strict=True)
    assert np.average(values, weights=sizes) == pytest.approx(np.mean(everything), rel=1e-5)


def test_notes_are_right_wrong_or_missed():
    fitted = model(epochs=1).fit(tunes())
    with torch.no_grad():
        for one in fitted.module_.parameters():
            one.zero_()
        # at every step two keys are told, of which one sounds, and a third one is missed
        fitted.module_.body.head.bias[:] = -1.0
        fitted.module_.body.head.bias[[0, 1]] = 1.0
    found = fitted.evaluate([[[21, 23], [21, 23], [21, 23]], [[21], [21, 23]]])
    likely, unlikely = -math.log(1 / (1 + math.exp(-1))), -math.log(1 / (1 + math.exp(1)))
    assert found["loss"] == pytest.approx(86 * likely + 2 * unlikely)
    assert found["held_out_steps"] == 3
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["f1"] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "gru", "dropout": 0.1, "input_dropout": 0.1, "recurrent_dropout": 0.1},
        {"cell": "rnn", "num_layers": 2, "residual": True},
    ],
    ids=str,
)
def test_it_learns(options):
    fitted = model(**options).fit(tunes(60))
    assert fitted.results_["pieces"] == 60
    assert fitted.results_["f1"] > 0.98
    # a first step may be any of the four
    assert fitted.results_["loss"] < 0.2
    assert fitted.results_["loss_with_first"] > fitted.results_["loss"] + 0.05
    assert fitted.generate([[62]], length=5, temperature=0) == [[62], *TUNE[2:], *TUNE[:3]]
    assert fitted.score(tunes(5, seed=1)) == -fitted.evaluate(tunes(5, seed=1))["loss"]


def test_keys_are_drawn_as_often_as_they_should():
    pieces = [[[60], [64]], [[60], [64]], [[60], []]] * 10
    fitted = model(epochs=40, validation_fraction=0).fit(pieces)
    drawn = [fitted.generate([[60]], length=1, seed=s)[1] for s in range(200)]
    assert drawn.count([64]) / 200 == pytest.approx(2 / 3, abs=0.1)
    assert fitted.generate([[60]], length=3, seed=1) == fitted.generate([[60]], length=3, seed=1)
    assert list(fitted.stream([[60]], length=1, temperature=0)) == [[60], [64]]
    assert fitted.generate([[60]], length=0) == [[60]]
    # a hot model plays whatever there is
    hot = fitted.generate(length=20, temperature=1e6, seed=0)
    assert len(hot) == 20
    assert np.mean([len(step) for step in hot]) == pytest.approx(KEYS / 2, rel=0.1)


def test_training_moves_pieces_by_semitones():
    pieces = [keys_of(one, "") for one in tunes(40)]
    batches = Pieces(pieces, batch_size=4, transpose=3, seed=5)
    moves = []
    for epoch in range(3):
        found = list(batches.epoch(epoch))
        for rows, (block, lengths) in zip(batches.rows.epoch(epoch), found, strict=True):
            assert not block[0].any()
            for row, piece, length in zip(rows, block.unbind(1), lengths, strict=True):
                moved = piece[1:length].numpy()
                move = moved.any(0).argmax() - pieces[row].any(0).argmax()
                assert np.array_equal(moved, np.roll(pieces[row], move, 1))
                moves.append(int(move))
        # a training that was cut off goes on with the same
        for (one, _), (other, _) in zip(batches.epoch(epoch, 2), found[2:], strict=True):
            assert torch.equal(one, other)
    assert set(moves) == set(range(-3, 4))
    assert moves[:40] != moves[40:80]
    still = Pieces(pieces, batch_size=40, shuffle=False).epoch(0)
    assert all(block.any(0).any(0).numpy().sum() <= 4 for block, _ in still)


def test_no_piece_is_moved_over_the_edge():
    wide = keys_of([[22, 107], [60]], "")
    assert notes_of(transposed(wide, 5)) == [[23, 108], [61]]
    assert notes_of(transposed(wide, -5)) == [[21, 106], [59]]
    silent = keys_of([[], []], "")
    assert notes_of(transposed(silent, 5)) == [[], []]


def test_moved_pieces_are_told_too():
    high = [[[note + 5 for note in step] for step in one] for one in tunes(8, seed=1)]
    still, moved = (
        model(transpose=n, epochs=30, validation_fraction=0).fit(tunes(40)) for n in (0, 5)
    )
    assert moved.evaluate(high)["loss"] < 0.5 * still.evaluate(high)["loss"]


def test_the_contract_of_scikit_learn(tmp_path):
    one = model(random_state=3, epochs=2, transpose=2)
    other = clone(one)
    assert other.get_params() == one.get_params()
    assert torch.equal(weights(one.fit(tunes())), weights(other.fit(tunes())))
    fitted = model(epochs=2).fit(tunes(), run=tmp_path / "run", validation=tunes(5, seed=1))
    assert fitted.results_["held_out_steps"] == sum(len(piece) - 1 for piece in tunes(5, seed=1))
    again = elman.load(tmp_path / "run")
    assert again.results_ == fitted.results_
    assert torch.equal(weights(again), weights(fitted))
    assert again.generate(length=5, seed=1) == fitted.generate(length=5, seed=1)
    assert again.evaluate(tunes()) == fitted.evaluate(tunes())
    fitted.save(tmp_path / "saved")
    assert torch.equal(weights(elman.load(tmp_path / "saved")), weights(fitted))
    assert again.inspect(tunes()).sentence()
    same = model(epochs=2).fit(tunes(), run=tmp_path / "run", validation=tunes(5, seed=1))
    assert torch.equal(weights(same), weights(fitted))
    with pytest.raises(ValueError, match="content: here '"):
        model(epochs=2).fit(tunes(25), run=tmp_path / "run", validation=tunes(5, seed=1))
    with pytest.raises(ValueError, match="validation_content: here '"):
        model(epochs=2).fit(tunes(), run=tmp_path / "run", validation=tunes(5, seed=2))
    # one piece is there to be learned
    assert "loss" not in model(epochs=1).fit([TUNE]).results_
    assert "loss" not in model(epochs=1, validation_fraction=0.9).fit([TUNE]).results_


@pytest.mark.parametrize("wrong", [-1, 88, 1.5])
def test_mistakes_in_options(wrong):
    with pytest.raises(ValueError, match=rf"LanguageModel: transpose={wrong}; give semitones, 0 u"):
        model(transpose=wrong).fit(tunes())


def test_mistakes_in_what_is_asked(tmp_path):
    with pytest.raises(ValueError, match=r"LanguageModel.fit: piece 0, step 1: the note 12 is not"):
        model().fit([[[60], [12]]], run=tmp_path / "run")
    with pytest.raises(ValueError, match=r"LanguageModel.fit: piece 1 has 0 steps"):
        model().fit(tunes(), validation=[TUNE, []], run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    fitted = model(epochs=1).fit(tunes())
    with pytest.raises(
        ValueError, match=r"LanguageModel.generate: the prompt, step 0: the note 1 "
    ):
        fitted.generate([[1]])
    with pytest.raises(
        TypeError, match=r"LanguageModel.generate: the prompt is a str; give a list"
    ):
        fitted.generate("60 64")
    for wrong in ({"top_k": 3}, {"top_p": 0.5}):
        name = next(iter(wrong))
        with pytest.raises(ValueError, match=rf"{name}={wrong[name]} chooses one token of many"):
            fitted.generate(length=2, **wrong)
    with pytest.raises(
        ValueError, match="LanguageModel.generate: temperature=-1; give a number from 0"
    ):
        fitted.generate(length=2, temperature=-1)
    with pytest.raises(
        ValueError, match=r"LanguageModel.evaluate: adaptation \(--cache, --dynamic\) is"
    ):
        fitted.evaluate(tunes(), adaptation=Adaptation(cache=5))
