"""The four shapes of problem, each against a loop that is unrolled by hand."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman import nn

T, B, I, H, O = 6, 3, 4, 5, 2
LENGTHS = torch.tensor([6, 2, 4])


def rnn_step(layer, x, h):
    return torch.tanh(
        x @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
    )


def test_one_to_one():
    model = nn.OneToOne(nn.RNN(I, H), O)
    x = torch.randn(B, I)
    h = rnn_step(model.layers, x, torch.zeros(B, H))
    torch.testing.assert_close(model(x), model.head(h))


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_many_to_one(pooling):
    model = nn.ManyToOne(nn.RNN(I, H), O, pooling=pooling)
    x = torch.randn(T, B, I)
    found = model(x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        h, steps = torch.zeros(H), []
        for t in range(length):
            h = rnn_step(model.layers, x[t, row], h)
            steps.append(h)
        all_steps = torch.stack(steps)
        pooled = {"last": h, "mean": all_steps.mean(0), "max": all_steps.amax(0)}[pooling]
        torch.testing.assert_close(found[row], model.head(pooled))
    torch.testing.assert_close(model(x), model(x, torch.full((B,), T)))


def test_many_to_many_and_its_state():
    model = nn.ManyToMany(nn.RNN(I, H), O)
    x = torch.randn(T, B, I)
    output, h = model(x)
    by_hand = torch.zeros(B, H)
    for t in range(T):
        by_hand = rnn_step(model.layers, x[t], by_hand)
        torch.testing.assert_close(output[t], model.head(by_hand))
    first, h_first = model(x[:2])
    rest, h_rest = model(x[2:], h_first)
    torch.testing.assert_close(torch.cat([first, rest]), output)
    torch.testing.assert_close(h_rest, h)


def test_many_to_many_batch_first():
    model = nn.ManyToMany(nn.GRU(I, H, batch_first=True), O)
    assert model(torch.randn(B, T, I), lengths=LENGTHS)[0].shape == (B, T, O)


PACKED = {"sorted": [6, 4, 1], "unsorted": [2, 6, 4], "equal": [6, 6, 6]}


def packed_of(x, lengths):
    return pack_padded_sequence(
        x, torch.tensor(lengths), enforce_sorted=lengths == sorted(lengths, reverse=True)
    )


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("lengths", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_many_to_one_of_a_packed_batch(pooling, lengths, bidirectional):
    model = nn.ManyToOne(nn.GRU(I, H, bidirectional=bidirectional), O, pooling=pooling)
    x = torch.randn(T, B, I)
    found = model(packed_of(x, lengths))
    torch.testing.assert_close(found, model(x, torch.tensor(lengths)))
    with pytest.raises(ValueError, match=r"^GRU.forward: lengths was given with a PackedSequence"):
        model(packed_of(x, lengths), torch.tensor(lengths))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", PACKED.values(), ids=PACKED)
def test_many_to_many_of_a_packed_batch(lengths, batch_first):
    model = nn.ManyToMany(nn.LSTM(I, H, batch_first=batch_first), O)
    x, state = torch.randn(T, B, I), (torch.randn(1, B, H), torch.randn(1, B, H))
    found, after = model(packed_of(x, lengths), state)
    padded, counts = nn.pad_packed_sequence(found, batch_first, float("nan"), T)
    given = x.transpose(0, 1) if batch_first else x
    expected, final = model(given, state, lengths=torch.tensor(lengths))
    assert counts.tolist() == lengths
    real = ~padded.isnan()
    torch.testing.assert_close(padded[real], expected[real])
    torch.testing.assert_close(after, final)


@pytest.mark.parametrize("how", ["state", "input", "both"])
@pytest.mark.parametrize("lengths", PACKED.values(), ids=PACKED)
def test_one_to_many_of_a_packed_batch(lengths, how):
    C = 3
    model = nn.OneToMany(nn.GRU(O if how == "state" else O + C, H), C, O, how=how)
    vector, x = torch.randn(B, C), torch.randn(T, B, O)
    found = model(vector, packed_of(x, lengths))
    padded, _ = nn.pad_packed_sequence(found, False, float("nan"), T)
    expected, real = model(vector, x, torch.tensor(lengths)), ~padded.isnan()
    assert int(real.sum()) == O * sum(lengths)
    torch.testing.assert_close(padded[real], expected[real])
    if how != "state":
        with pytest.raises(ValueError, match="vector has 4 rows and x 3; give as many"):
            model(torch.randn(B + 1, C), packed_of(x, lengths))


@pytest.mark.parametrize("how", ["state", "input", "both"])
@pytest.mark.parametrize("cell", ["RNN", "LSTM"])
def test_one_to_many_known_steps_equal_single_steps(how, cell):
    C = 3
    size = O if how == "state" else O + C
    model = nn.OneToMany(getattr(nn, cell)(size, H, num_layers=2), C, O, how=how)
    vector, x = torch.randn(B, C), torch.randn(T, B, O)
    output = model(vector, x)
    state = model.start(vector)
    assert (state is None) == (how == "input")
    for t in range(T):
        one, state = model.step(vector, x[t], state)
        torch.testing.assert_close(output[t], one)
    other = model(torch.randn(B, C), x)
    assert not torch.allclose(output[0], other[0])


def test_one_to_many_by_hand():
    model = nn.OneToMany(nn.RNN(O, H), 3, O)
    vector, x = torch.randn(B, 3), torch.randn(T, B, O)
    h = torch.tanh(model.bridge.states[0](vector))
    for t in range(T):
        h = rnn_step(model.layers, x[t], h)
        torch.testing.assert_close(model(vector, x)[t], model.head(h))


def test_one_to_many_refuses_what_reads_ahead():
    with pytest.raises(ValueError, match=r"OneToMany: the layers are bidirectional.*one direction"):
        nn.OneToMany(nn.RNN(O, H, bidirectional=True), 3, O)
    with pytest.raises(ValueError, match="how='all'"):
        nn.OneToMany(nn.RNN(O, H), 3, O, how="all")


def encoder_decoder(attention="multiplicative", cell=nn.GRU, **more):
    return nn.EncoderDecoder(
        cell(4, 6, bidirectional=True),
        cell(4, 6),
        sources=9,
        targets=8,
        attention=attention,
        **more,
    )


@pytest.mark.parametrize("attention", ["additive", "multiplicative", None])
@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("upper", [False, True])
def test_encoder_decoder_known_target_equals_single_steps(attention, cell, upper):
    torch.manual_seed(0)
    model = encoder_decoder(attention, cell, upper=cell(6, 6) if upper else None)
    source, lengths = torch.randint(9, (7, 3)), torch.tensor([7, 2, 5])
    target = torch.randint(8, (5, 3))
    scores = model(source, lengths, target)
    at = model.read(source, lengths)
    for t in range(5):
        log_p, at = model.step(target[t], at)
        torch.testing.assert_close(scores[t].log_softmax(-1), log_p, atol=1e-5, rtol=1e-5)
    # what is behind a source's end has no say
    other = source.clone()
    other[2:, 1] = 0
    torch.testing.assert_close(model(other, lengths, target)[:, 1], scores[:, 1])


def test_encoder_decoder_by_hand():
    model = nn.EncoderDecoder(nn.RNN(4, 6), nn.RNN(4, 6), sources=9, targets=8)
    source, target = torch.randint(9, (5, 2)), torch.randint(8, (4, 2))
    lengths = torch.tensor([5, 3])
    scores = model(source, lengths, target)
    for row, length in enumerate(lengths.tolist()):
        h, memory = torch.zeros(6), []
        for t in range(length):
            h = rnn_step(model.encoder, model.source.weight[source[t, row]], h)
            memory.append(h)
        m = torch.stack(memory)
        d = torch.tanh(model.bridge.states[0](h))
        for t in range(4):
            d = rnn_step(model.decoder, model.target.weight[target[t, row]], d)
            a = torch.softmax(model.attention.key(m) @ d / 6**0.5, 0)
            r = torch.tanh(model.mix(torch.cat([d, a @ m])))
            torch.testing.assert_close(scores[t, row], model.head(r), atol=1e-5, rtol=1e-5)


def test_encoders_read_one_upon_another():
    narrow, wide = nn.LSTM(4, 3, bidirectional=True), nn.LSTM(6, 5, bidirectional=True)
    model = nn.EncoderDecoder([narrow, wide], nn.LSTM(4, 6), sources=9, targets=8)
    source, lengths = torch.randint(9, (7, 3)), torch.tensor([7, 2, 5])
    first = narrow(model.source(source), lengths=lengths)[0]
    memory, (h, _) = wide(first, lengths=lengths)
    at = model.read(source, lengths)
    torch.testing.assert_close(at.memory, memory)
    torch.testing.assert_close(at.lower[0], model.bridge(torch.cat([*h], -1))[0])


@pytest.mark.parametrize("below", [[], [nn.LSTM(4, 2, bidirectional=True)]])
def test_encoder_decoder_all_parameters_learn(below):
    read = nn.LSTM(4, 6, bidirectional=True)
    model = nn.EncoderDecoder(
        [*below, read], nn.LSTM(4, 6), sources=9, targets=8, attention="additive",
        upper=nn.LSTM(6, 6), dropout=0.1,
    )  # fmt: skip
    source, lengths = torch.randint(9, (7, 3)), torch.tensor([7, 2, 5])
    model(source, lengths, torch.randint(8, (5, 3))).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_scheduled_sampling_goes_from_the_teacher_to_free_running():
    torch.manual_seed(0)
    model = encoder_decoder()
    source, lengths = torch.randint(9, (7, 3)), torch.tensor([7, 2, 5])
    target = torch.randint(8, (6, 3))
    taught = model.unroll(source, lengths, target, teacher=1.0)
    torch.testing.assert_close(taught, model(source, lengths, target), atol=1e-5, rtol=1e-5)
    free = model.unroll(source, lengths, target)
    at, told = model.read(source, lengths), target[0]
    for t in range(6):
        scores, at, _ = model.write(at, told[None])
        torch.testing.assert_close(free[t], scores[0], atol=1e-5, rtol=1e-5)
        told = scores[0].argmax(-1)
    assert not torch.allclose(free, taught)


def test_tied_embeddings_are_one_parameter():
    model = nn.EncoderDecoder(
        nn.GRU(6, 3, bidirectional=True), nn.GRU(6, 6), sources=9, targets=8, tied=True
    )
    assert model.head.weight is model.target.weight
    with pytest.raises(ValueError, match=r"tied=True, but embeddings have 4 features"):
        encoder_decoder(tied=True)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({"decoder": nn.GRU(4, 6, bidirectional=True)}, "the decoder is bidirectional"),
        ({"decoder": nn.GRU(4, 6, batch_first=True)}, "layers are batch_first"),
        ({"encoder": []}, "no encoder; give at least one"),
        (
            {"encoder": [nn.GRU(4, 6), nn.GRU(4, 6)]},
            "an encoder puts out 6 features and the one above it reads 4",
        ),
        ({"upper": nn.GRU(4, 6)}, "the upper layers read 4 features and put out 6"),
    ],
)
def test_layers_that_do_not_fit(layers, said):
    given = {"encoder": nn.GRU(4, 6), "decoder": nn.GRU(4, 6), "sources": 9, "targets": 8} | layers
    with pytest.raises(ValueError, match=said):
        nn.EncoderDecoder(given.pop("encoder"), given.pop("decoder"), **given)


@pytest.mark.parametrize("how", ["additive", "multiplicative"])
def test_attention_weighs_real_steps_alone_and_to_one(how):
    attention = elman.nn.Attention(how, 4, 6)
    memory, lengths = torch.randn(5, 3, 6), torch.tensor([5, 1, 3])
    query = torch.randn(2, 3, 4)
    context, weights = attention(query, memory, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(weights[:, row, :length].sum(-1), torch.ones(2))
        assert not weights[:, row, length:].any()
        torch.testing.assert_close(context[:, row], weights[:, row] @ memory[:, row])
    torch.testing.assert_close(context[:, 1], memory[0, 1].expand(2, 6))


def test_attention_formulas():
    query, memory = torch.randn(1, 1, 4), torch.randn(3, 1, 6)
    lengths = torch.tensor([3])
    one = elman.nn.Attention("multiplicative", 4, 6)
    wanted = torch.softmax(memory[:, 0] @ one.key.weight.T @ query[0, 0] / 2, 0)
    torch.testing.assert_close(one(query, memory, lengths)[1][0, 0], wanted)
    one = elman.nn.Attention("additive", 4, 6, 5)
    hidden = torch.tanh(
        one.query.weight @ query[0, 0] + memory[:, 0] @ one.key.weight.T + one.key.bias
    )
    wanted = torch.softmax(hidden @ one.score.weight[0], 0)
    torch.testing.assert_close(one(query, memory, lengths)[1][0, 0], wanted)
