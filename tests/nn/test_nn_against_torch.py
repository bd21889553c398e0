"""Golden: the same weights give torch.nn's outputs, states and gradients."""

import itertools

import numpy as np
import pytest
import torch
from cases import IN_TORCH, named, states
from tolerances import assert_close
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman.nn._shapes import widths_of

OPTIONS = [
    {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": first}
    for layers, both, bias, first in itertools.product(
        (1, 3), (False, True), (False, True), (False, True)
    )
]
I, H, T, B = 3, 7, 6, 5


def _pair(case, options, dtype, backend):
    theirs = case.torch_layer(I, H, **case.arguments, **options, dtype=dtype)
    ours = case.make(I, H, **options, dtype=dtype, backend=backend)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def _compare(ours, theirs, input, hx):
    given = [] if hx is None else list(states(hx))
    results = []
    for layer in (ours, theirs):
        leaves = [
            t.detach().clone().requires_grad_()
            for t in (getattr(input, "data", input) if _packed(input) else input, *given)
        ]
        x = input._replace(data=leaves[0]) if _packed(input) else leaves[0]
        h = None if hx is None else tuple(leaves[1:]) if len(given) > 1 else leaves[1]
        output, after = layer(x, h)
        output = output.data if _packed(input) else output
        flat = [output, *states(after)]
        torch.manual_seed(1)
        loss = sum((torch.randn_like(f) * f).sum() for f in flat)
        gradients = torch.autograd.grad(loss, [*leaves, *layer.parameters()])
        results.append((flat, gradients))
    for (name, one), other in zip(enumerate(results[0][0]), results[1][0], strict=True):
        assert_close(one, other, "forward", f"output {name}")
    for (name, one), other in zip(enumerate(results[0][1]), results[1][1], strict=True):
        assert_close(one, other, "backward", f"gradient {name}")


def _packed(input):
    return isinstance(input, torch.nn.utils.rnn.PackedSequence)


def _state(ours, dtype, batch):
    shape = [ours.num_layers * ours.num_directions, *([batch] if batch else [])]
    parts = [torch.randn(*shape, width, dtype=dtype) for width in widths_of(ours)]
    return parts[0] if len(parts) == 1 else tuple(parts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("case", **named(IN_TORCH))
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_dense(case, options, backend, dtype):
    ours, theirs = _pair(case, options, dtype, backend)
    shape = (B, T, I) if options["batch_first"] else (T, B, I)
    x = torch.randn(shape, dtype=dtype)
    _compare(ours, theirs, x, None)
    _compare(ours, theirs, x, _state(ours, dtype, B))
    _compare(ours, theirs, torch.randn(T, I, dtype=dtype), _state(ours, dtype, None))


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("case", **named(IN_TORCH))
@pytest.mark.parametrize("options", OPTIONS[::2], ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize("is_sorted", [False, True], ids=["unsorted", "sorted"])
def test_packed(case, options, backend, is_sorted):
    ours, theirs = _pair(case, options, torch.float64, backend)
    lengths = torch.tensor([6, 4, 4, 2, 1] if is_sorted else [2, 6, 1, 4, 4])
    x = torch.randn(B, T, I, dtype=torch.float64)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=is_sorted)
    _compare(ours, theirs, packed, None)
    _compare(ours, theirs, packed, _state(ours, torch.float64, B))


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projection(bidirectional, bias, backend):
    (case,) = (case for case in IN_TORCH if case.name == "lstm")
    options = {"num_layers": 2, "proj_size": 3, "bidirectional": bidirectional, "bias": bias}
    ours, theirs = _pair(case, options, torch.float64, backend)
    x = torch.randn(T, B, I, dtype=torch.float64)
    _compare(ours, theirs, x, _state(ours, torch.float64, B))


@pytest.mark.parametrize("case", **named(IN_TORCH))
def test_the_same_seed_gives_torchs_weights_and_dropout(case):
    options = {"num_layers": 3, "dropout": 0.5, "bidirectional": True}
    torch.manual_seed(3)
    theirs = case.torch_layer(I, H, **case.arguments, **options)
    torch.manual_seed(3)
    ours = case.make(I, H, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    x = torch.randn(T, B, I)
    torch.manual_seed(4)
    expected, _ = theirs(x)
    torch.manual_seed(4)
    assert_close(ours(x)[0], expected)
    assert [[p.shape for p in one] for one in ours.all_weights] == [
        [p.shape for p in one] for one in theirs.all_weights
    ]


@pytest.mark.parametrize("case", **named(IN_TORCH))
def test_single_step_modules(case):
    theirs = getattr(torch.nn, case.torch_layer.__name__ + "Cell")(I, H, **case.arguments)
    torch.manual_seed(0)
    theirs.reset_parameters()
    torch.manual_seed(0)
    ours = getattr(elman.nn, case.layer.__name__ + "Cell")(I, H, **case.arguments)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    for x, hx in [
        (torch.randn(B, I), None),
        (torch.randn(B, I), tuple(torch.randn(B, H) for _ in case.cell.states)),
        (torch.randn(I), tuple(torch.randn(H) for _ in case.cell.states)),
    ]:
        h = hx[0] if hx is not None and len(hx) == 1 else hx
        for one, other in zip(states(ours(x, h)), states(theirs(x, h)), strict=True):
            assert_close(one, other)


class _Counted(torch.nn.Module):
    """A parametrisation that knows how often it was asked."""

    def __init__(self):
        super().__init__()
        self.times = 0

    def forward(self, weight):
        self.times += 1
        return weight.tanh()


@pytest.mark.parametrize("kind", ["LSTM", "GRUCell"])
@pytest.mark.parametrize("name", ["weight_ih", "weight_hh"])
def test_a_parametrisation_is_computed_once_in_each_call(kind, name):
    layer = getattr(elman.nn, kind)(I, H)
    name += "" if kind.endswith("Cell") else "_l0"
    x, hx = torch.randn(T, B, I), (torch.randn(1, B, H), torch.randn(1, B, H))
    if kind.endswith("Cell"):
        x, hx = x[0], hx[0][0]
    plain = getattr(elman.nn, kind)(I, H)
    plain.load_state_dict(layer.state_dict())
    with torch.no_grad():
        getattr(plain, name).tanh_()
    counted = _Counted()
    torch.nn.utils.parametrize.register_parametrization(layer, name, counted)
    counted.times = 0
    found, expected = layer(x, hx), plain(x, hx)
    assert counted.times == 1
    for one, other in zip(states(found), states(expected), strict=True):
        one, other = (s[0] if isinstance(s, tuple) else s for s in (one, other))
        assert_close(one, other)
    states(found)[0].sum().backward()
    assert getattr(layer.parametrizations, name).original.grad.abs().sum() > 0


def test_convert_keeps_parameters_and_results():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.LSTM(I, H, 2, bidirectional=True, batch_first=True, dropout=0.3)
            self.again = self.first
            self.deep = torch.nn.ModuleList([torch.nn.GRUCell(I, H), torch.nn.RNN(I, H)])

        def forward(self, x):
            return self.first(x)[0], self.deep[0](x[:, 0]), self.deep[1](x)[0]

    model = Model().eval()
    x = torch.randn(B, T, I)
    before, parameters = model(x), dict(model.named_parameters())
    converted = elman.nn.convert(model)
    assert converted is model
    assert type(model.first) is elman.nn.LSTM
    assert model.again is model.first
    assert type(model.deep[0]) is elman.nn.GRUCell
    assert not model.first.training
    assert all(parameters[name] is p for name, p in model.named_parameters())
    for one, other in zip(model(x), before, strict=True):
        assert_close(one, other)
    assert type(elman.nn.convert(torch.nn.GRU(I, H))) is elman.nn.GRU


def test_convert_refuses_to_lose_hooks():
    layer = torch.nn.GRU(I, H)
    layer.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="the layer '0' \\(GRU\\) carries hooks"):
        elman.nn.convert(torch.nn.Sequential(layer))


@pytest.mark.parametrize("case", **named(IN_TORCH))
def test_what_torchs_layers_have_and_allow(case):
    theirs = case.torch_layer(I, H, **case.arguments)
    ours = case.make(np.int64(I), np.int64(H), num_layers=np.int64(1))
    assert (ours.mode, ours.proj_size) == (theirs.mode, theirs.proj_size)
    x, lengths = torch.randn(T, B, I), torch.tensor([2, T, 1, 4, 4])
    for layer in (ours, case.make(I, H, gradient_clip=1.0), case.make(I, H, zoneout=0.5)):
        # truncated backpropagation through time
        for state in states(layer(x)[1]):
            state.detach_()
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    expected = [*ours(packed)[0].data, *ours(x, lengths=lengths)[0]]
    torch.set_default_device("meta")
    try:
        found = [*ours(packed)[0].data, *ours(x, lengths=lengths)[0]]
        reference = case.make(I, H, device="cpu", backend="reference")
        reference(packed, None)
        reference(x, lengths=lengths)
    finally:
        torch.set_default_device(None)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("case", **named(IN_TORCH))
def test_weights_that_are_plain_attributes(case):
    # as in a replica, or where another network computes them
    layer, x = case.make(I, H, num_layers=2), torch.randn(T, B, I)
    expected = layer(x)[0]
    for name, parameter in list(layer.named_parameters()):
        delattr(layer, name)
        setattr(layer, name, parameter.detach().clone())
    assert_close(layer(x)[0], expected)
    with pytest.raises(ValueError, match="input is torch.float64, but the weights are"):
        layer(x.double())
