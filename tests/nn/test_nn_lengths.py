"""Lengths as everything that takes them reads them, and rows without steps."""

import numpy as np
import pytest
import torch

from elman import nn

T, B, F = 5, 4, 6
LENGTHS = torch.tensor([5, 0, 2, 1])
POOLINGS = ["last", "mean", "max", "attention"]
TAGS = torch.randint(F, (T, B))
TARGET = torch.randint(8, (3, B))


def encoder_decoder(attention):
    return nn.EncoderDecoder(
        nn.GRU(F, 4, bidirectional=True), nn.LSTM(4, F), sources=None, targets=8,
        attention=attention, upper=nn.GRU(F, F),
    )  # fmt: skip


def calls():
    """What takes lengths: a module and what it makes of a batch (T, B, F) and its lengths."""
    found = {}
    for how in POOLINGS:
        pool, one = nn.Pooling(how, F, 2), nn.ManyToOne(nn.GRU(F, 3), 2, pooling=how)
        found[f"Pooling-{how}"] = (pool, lambda x, lengths, pool=pool: (pool(x, lengths),))
        found[f"ManyToOne-{how}"] = (one, lambda x, lengths, one=one: (one(x, lengths),))
    query = torch.randn(3, B, 4)
    for how in ("additive", "multiplicative"):
        ask = nn.Attention(how, 4, F)
        found[f"Attention-{how}"] = (ask, lambda x, lengths, ask=ask: ask(query, x, lengths))
    crf = nn.CRF(F)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    found["CRF"] = (crf, lambda x, lengths: (crf(x, TAGS[: len(x)], lengths),))
    for how in ("additive", "multiplicative", None):
        model = encoder_decoder(how)
        found[f"EncoderDecoder-{how}"] = (
            model, lambda x, lengths, model=model: (model(x, lengths, TARGET).transpose(0, 1),)
        )  # fmt: skip
    return found


NAMES = sorted(calls())


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_rows_without_steps_give_numbers_and_leave_the_others_alone(name):
    torch.manual_seed(0)
    module, call = calls()[name]
    x = torch.randn(T, B, F, requires_grad=True)
    sources = [x, *module.parameters()]
    # the other rows by themselves, as ever
    kept = LENGTHS > 0
    found, other = call(x, LENGTHS), call(x, LENGTHS.clamp_min(1))
    rows = 1 if name.startswith("Attention") else 0
    for one, two in zip(found, other, strict=True):
        assert torch.equal(one.transpose(0, rows)[kept], two.transpose(0, rows)[kept])
    # no step of an empty row has a say, no gradient is NaN, not even on its way
    with torch.autograd.detect_anomaly(check_nan=True):
        total = sum(one.square().sum() for one in call(x, LENGTHS))
        gradients = torch.autograd.grad(total, sources, allow_unused=True)
    assert torch.isfinite(total)
    assert not gradients[0][:, ~kept].any()
    assert gradients[0][:, kept].any()
    assert all(one is None or torch.isfinite(one).all() for one in gradients)
    changed = torch.where(kept[:, None], x, 7 * torch.randn_like(x))
    for one, two in zip(found, call(changed, LENGTHS), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("how", POOLINGS)
@pytest.mark.parametrize("directions", [1, 2])
def test_nothing_is_pooled_to_zeros(how, directions):
    pool, x = nn.Pooling(how, F, directions), torch.randn(T, B, F)
    found = pool(x, LENGTHS)
    assert not found[1].any()
    assert found[[0, 2, 3]].all()
    assert torch.equal(pool(x[:0], LENGTHS * 0), torch.zeros(B, F))
    model = nn.ManyToOne(nn.GRU(F, 3), 2, pooling=how)
    assert torch.equal(model(x, LENGTHS)[1], model.head.bias)
    assert torch.equal(model(x[:0], LENGTHS * 0), model.head.bias.expand(B, 2))


@pytest.mark.parametrize("how", ["additive", "multiplicative"])
def test_nothing_is_remembered_with_no_weight(how):
    ask, query = nn.Attention(how, 4, F), torch.randn(3, B, 4)
    context, weights = ask(query, torch.randn(T, B, F), LENGTHS)
    assert not context[:, 1].any()
    assert not weights[:, 1].any()
    torch.testing.assert_close(weights.sum(-1), (LENGTHS > 0).float().expand(3, B))
    context, weights = ask(query, torch.randn(0, B, F), LENGTHS * 0)
    assert torch.equal(context, torch.zeros(3, B, F))
    assert weights.shape == (3, B, 0)


def test_no_tags_are_certain_and_cost_nothing():
    crf, x = calls()["CRF"][0], torch.randn(T, B, F)
    empty = torch.zeros(B, dtype=torch.long)
    for emissions, tags, lengths in ((x, TAGS, LENGTHS), (x[:0], TAGS[:0], empty)):
        nothing = lengths == 0
        for found in (
            crf(emissions, tags, lengths),
            crf.score(emissions, tags, lengths),
            crf.log_partition(emissions, lengths),
        ):
            assert found.shape == (B,)
            assert not found[nothing].any()
            assert found[~nothing].all()
        decoded = crf.decode(emissions, lengths)
        assert decoded.shape == tags.shape
        assert not decoded[:, nothing].any()
        assert not crf.marginals(emissions, lengths)[:, nothing].any()
    # tags behind a row's end may be anything
    behind = torch.arange(T)[:, None] >= LENGTHS
    other = TAGS.masked_fill(behind, -100)
    assert torch.equal(crf.score(x, other, LENGTHS), crf.score(x, TAGS, LENGTHS))


@pytest.mark.parametrize("attention", ["additive", "multiplicative", None])
def test_an_empty_source_is_as_one_of_no_steps(attention):
    torch.manual_seed(0)
    model, x = encoder_decoder(attention), torch.randn(T, B, F)
    found = model(x, LENGTHS, TARGET)
    alone = model(x[:0], LENGTHS * 0, TARGET)
    torch.testing.assert_close(found[:, 1], alone[:, 1])
    at = model.read(x, LENGTHS)
    scores, _ = model.step(TARGET[0], at)
    torch.testing.assert_close(scores[1], alone[0, 1].log_softmax(-1))


def test_ctc_of_no_steps():
    log_p = torch.randn(T, B, F).log_softmax(-1)
    assert nn.ctc_greedy(log_p, LENGTHS)[1] == ()
    assert nn.ctc_beam(log_p, LENGTHS, best=3)[1] == [((), 0.0)]
    assert nn.ctc_greedy(log_p[:0], LENGTHS * 0) == [()] * B
    assert nn.ctc_beam(log_p[:0], LENGTHS * 0) == [[((), 0.0)]] * B


TAKES = {
    "Pooling.forward": ("the output", lambda x, n: nn.Pooling("mean", F)(x, n)),
    "Attention.forward": (
        "the memory", lambda x, n: nn.Attention("additive", 4, F)(torch.zeros(3, B, 4), x, n),
    ),
    "CRF.log_partition": ("the emissions", lambda x, n: nn.CRF(F)(x, TAGS, n)),
    "CRF.score": ("the emissions", lambda x, n: nn.CRF(F).score(x, TAGS, n)),
    "CRF.decode": ("the emissions", lambda x, n: nn.CRF(F).decode(x, n)),
    "EncoderDecoder.read": ("the source", lambda x, n: encoder_decoder(None)(x, n, TARGET)),
    "ctc_greedy": ("log_p", nn.ctc_greedy),
    "ctc_beam": ("log_p", nn.ctc_beam),
    "GRU.forward": ("the input", lambda x, n: nn.ManyToOne(nn.GRU(F, 3), 2)(x, n)),
    "RNN.forward": ("the input", lambda x, n: nn.RNN(F, 3)(x, lengths=n)),
}  # fmt: skip
WRONG = [
    ([5.0, 0.0, 2.0, 1.0], TypeError, "lengths is torch.float32; give whole numbers."),
    ([True, False, True, True], TypeError, "lengths is torch.bool; give whole numbers."),
    ([5, 0, 2], ValueError, "lengths has shape (3,), expected (4,), one for each row."),
    ([[5, 0, 2, 1]], ValueError, "lengths has shape (1, 4), expected (4,), one for each row."),
    ([5, 0, 6, 1], ValueError, "lengths[2] is 6, expected 0 to 5, the steps of {}."),
    ([5, -1, 2, 1], ValueError, "lengths[1] is -1, expected 0 to 5, the steps of {}."),
]


@pytest.mark.parametrize("where", TAKES)
@pytest.mark.parametrize(("lengths", "kind", "text"), WRONG)
def test_one_check(where, lengths, kind, text):
    name, call = TAKES[where]
    for given in (torch.tensor(lengths), lengths):
        for with_gradient in (True, False):
            with torch.set_grad_enabled(with_gradient), pytest.raises(kind) as caught:
                call(torch.zeros(T, B, F), given)
            assert str(caught.value) == f"{where}: {text.format(name)}"


@pytest.mark.parametrize("where", TAKES)
def test_lengths_without_values_and_what_are_none(where):
    name, call = TAKES[where]
    with pytest.raises(ValueError, match="meta") as caught:
        call(torch.zeros(T, B, F), LENGTHS.to("meta"))
    assert str(caught.value) == (
        f"{where}: lengths is on the meta device, where nothing has a value, and {name} is on cpu;"
        " give lengths with values."
    )
    with pytest.raises(TypeError, match=f"^{where}: lengths are .*; give whole numbers, one for"):
        call(torch.zeros(T, B, F), ["x"] * B)


def test_many_rows_are_checked_too():
    x, lengths = torch.zeros(3, 200, 2), torch.randint(1, 4, (200,))
    pool = nn.Pooling("mean", 2)
    pool(x, lengths)
    lengths[150] = 0
    assert torch.isfinite(pool(x, lengths)).all()
    for wrong in (-1, 4):
        lengths[150] = wrong
        with pytest.raises(ValueError, match=rf"lengths\[150\] is {wrong}, expected 0 to 3"):
            pool(x, lengths)


@pytest.mark.parametrize("name", NAMES)
def test_any_kind_of_whole_numbers(name):
    _, call = calls()[name]
    x = torch.randn(T, B, F)
    expected = call(x, LENGTHS)
    kinds = [torch.int8, torch.uint8, torch.int16, torch.int32]
    for given in (LENGTHS.tolist(), LENGTHS.numpy().astype(np.int32), *map(LENGTHS.to, kinds)):
        for one, two in zip(call(x, given), expected, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("name", NAMES)
def test_where_the_values_are_not_known(name):
    _, call = calls()[name]
    x = torch.randn(T, B, F)
    expected = call(x, LENGTHS)
    found = torch.compile(call, fullgraph=True, backend="eager")(x, LENGTHS)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two)
    if name.startswith(("Pooling", "Attention", "CRF")):
        mapped = torch.func.vmap(lambda lengths: call(x, lengths))(LENGTHS[None])
        for one, two in zip(mapped, expected, strict=True):
            torch.testing.assert_close(one[0], two)
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = call(mode.from_tensor(x), mode.from_tensor(LENGTHS))
    assert [one.shape for one in fake] == [one.shape for one in expected]
