"""One step at a time: the handle, the layer's own step, and the short way of plain calls."""

import copy
import pickle

import pytest
import torch
from cases import CASES, named
from tolerances import assert_close

import elman
from elman.kernels import cpu, stack
from elman.nn import _cells, _recurrent
from elman.nn._shapes import widths_of
from elman.ops import _quick


def _layer(case, I=5, H=19, **options):
    return case.layer(I, H, **case.arguments, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("options", [{}, {"num_layers": 3, "initial_state": "learned"}], ids=str)
@pytest.mark.parametrize("case", **named(CASES))
def test_a_bound_step_reads_and_writes_the_same_memory(case, options, dtype):
    layer = _layer(case, dtype=dtype, **options)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            if name.startswith("initial"):
                p.normal_()
    x, x_t, y = torch.randn(6, 2, 5, dtype=dtype), torch.empty(2, 5, dtype=dtype), None
    expected, final = layer(x)
    stepper = layer.stepper(batch=2)
    y = torch.full(expected.shape[1:], torch.nan, dtype=dtype)
    step = stepper.bind(x_t, y)
    for t in range(6):
        x_t.copy_(x[t])
        step()
        assert_close(y, expected[t].detach())
    states = final if isinstance(final, tuple) else (final,)
    found = stepper.state if isinstance(stepper.state, tuple) else (stepper.state,)
    for one, other in zip(found, states, strict=True):
        assert_close(one, other.detach())


def test_the_weights_are_those_of_its_making():
    layer = elman.nn.GRU(3, 4)
    stepper, x = layer.stepper(), torch.randn(1, 3)
    before = stepper(x)
    with torch.no_grad():
        layer.weight_ih_l0.mul_(2)
    stepper.reset()
    assert torch.equal(stepper(x), before)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_the_output_may_go_where_the_input_stands(backend):
    layer, x = elman.nn.GRU(40, 40, backend=backend), torch.randn(1, 40)
    expected, room = layer.stepper()(x), torch.zeros(50)
    for at in (0, 5, 10):
        given, out = room[at : at + 40].view(1, 40), room[5:45].view(1, 40)
        given.copy_(x)
        assert torch.equal(layer.stepper()(given, out=out), expected)


def test_autograd_is_told_that_the_output_changes():
    stepper, out = elman.nn.GRU(3, 4).stepper(), torch.empty(1, 4)
    w = torch.ones(4, requires_grad=True)
    loss = torch.zeros(())
    for x_t in torch.randn(2, 1, 3):
        loss = loss + (stepper(x_t, out=out) * w).sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    with torch.inference_mode():
        stepper(torch.randn(1, 3), out=torch.empty(1, 4))


def test_a_copy_goes_on_from_the_same_state():
    x = torch.randn(3, 2, 3)
    stepper = elman.nn.LSTM(3, 4, num_layers=2).stepper(batch=2)
    stepper(x[0])
    copies = [copy.deepcopy(stepper), pickle.loads(pickle.dumps(stepper))]
    expected = [stepper(x_t) for x_t in x[1:]]
    for one in copies:
        assert all(torch.equal(one(x_t), y) for x_t, y in zip(x[1:], expected, strict=True))


def test_setting_the_state_copies_it():
    stepper, x = elman.nn.LSTM(3, 4).stepper(), torch.randn(1, 3)
    state = torch.randn(1, 1, 4), torch.randn(1, 1, 4)
    stepper.state = state
    first = stepper(x)
    assert not torch.equal(stepper.state[0], state[0])
    stepper.state = state
    assert torch.equal(stepper(x), first)
    stepper.state = None
    assert stepper.state is None


@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_another_backend_steps_too(backend):
    layer = elman.nn.LSTM(3, 4, backend=backend)
    x, y = torch.randn(5, 1, 3), torch.empty(1, 4)
    stepper = layer.stepper()
    for t in range(5):
        stepper(x[t], out=y)
    assert_close(y, layer(x)[0][-1].detach())
    step = stepper.bind(x[0], y)
    step()
    assert stepper.state is not None


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda s: s(torch.randn(2, 3)), "Stepper: x_t has shape (2, 3), expected (1, 3), (B, I)."),
        (lambda s: s(torch.randn(1, 3).double()),
         "Stepper: x_t is torch.float64 on cpu; give torch.float32 on cpu, contiguous."),
        (lambda s: s(torch.randn(1, 3), out=torch.empty(1, 3)),
         "Stepper: out has shape (1, 3), expected (1, 4), (B, R)."),
        (lambda s: s.bind(torch.randn(3, 2).t()[:1], torch.empty(1, 4)),
         "Stepper: x_t is torch.float32 on cpu, not contiguous; give torch.float32 on cpu,"
         " contiguous."),
        (lambda s: setattr(s, "state", torch.zeros(1, 2, 4)),
         "Stepper.state: hx: h has shape (1, 2, 4), expected (1, 1, 4), (L * D, B, size)."),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_one_line(call, text):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        call(elman.nn.GRU(3, 4).stepper())
    assert str(caught.value) == text


@pytest.fixture
def seen(monkeypatch):
    """The calls that went the short way: whether with a gradient."""
    calls = []

    def spy(module, name, with_gradient):
        run = getattr(module, name)

        def noted(*all):
            made = run(*all)
            # None asks for the long way
            if made is not None:
                calls.append(with_gradient)
            return made

        monkeypatch.setattr(module, name, noted)

    spy(_quick, "differentiate", True)
    spy(stack, "infer", False)
    return calls


def _leaves(dtype, *shapes):
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def _as_given(state):
    return state[0] if len(state) == 1 else tuple(state)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("case", **named(CASES))
def test_the_short_way_gives_the_same_bits_as_the_long_one(case, first, seen, monkeypatch):
    layer = _layer(case, batch_first=first)
    # rows that stand apart in memory
    x = torch.randn(3, 2, 4, 5)[:, 1]
    batch = 3 if first else 4
    state = _as_given([torch.randn(1, batch, width) for width in widths_of(layer)])
    lengths = torch.tensor([2, 0, 4] if first else [3, 1, 0, 2])

    @torch.no_grad()
    def infer():
        step = layer.step(x[0] if first else x[:, 0], None)
        return _flat([layer(x), layer(x, state, lengths=lengths), step])

    short = infer()
    assert seen == [False] * 3 * cpu.is_built()
    monkeypatch.setattr(_recurrent, "run_quickly", lambda *_: None)
    for one, other in zip(short, infer(), strict=True):
        assert torch.equal(one, other)
    assert len(seen) == 3 * cpu.is_built()


def _derivatives(run, wanted):
    """The results of a call, their gradients, and the gradients of these."""
    results = _flat(run())
    loss = sum(one.sin().sum() for one in results)
    firsts = torch.autograd.grad(loss, wanted, create_graph=True)
    seconds = torch.autograd.grad(sum(one.cos().sum() for one in firsts), wanted)
    return [*results, *firsts, *seconds]


@pytest.mark.parametrize(
    ("first", "lengths"), [(False, None), (True, None), (False, [3, 1, 0, 2]), (True, [2, 0, 4])]
)
@pytest.mark.parametrize("case", **named(CASES))
def test_the_short_way_trains_with_the_bits_of_the_long_one(
    case, first, lengths, seen, monkeypatch
):
    dtype = torch.float32 if first else torch.float64
    layer = _layer(case, batch_first=first, dtype=dtype)
    shapes = [(1, 3 if first else 4, width) for width in widths_of(layer)]
    x, *state = _leaves(dtype, (3, 2, 4, 5), *shapes)
    wanted = [x, *state, *layer.parameters()]

    lengths = None if lengths is None else torch.tensor(lengths)

    def run():
        return layer(x[:, 1], _as_given(state), lengths=lengths)

    short = _derivatives(run, wanted)
    assert seen == [True] * cpu.is_built()
    monkeypatch.setattr(_recurrent, "run_quickly", lambda *_: None)
    for one, other in zip(short, _derivatives(run, wanted), strict=True):
        assert torch.equal(one, other)
    assert len(seen) == cpu.is_built()


def test_a_learned_initial_state_that_is_not_used_gets_zeros():
    layer = elman.nn.GRU(3, 4, initial_state="learned")
    layer(torch.randn(5, 2, 3), torch.randn(1, 2, 4))[0].sum().backward()
    assert torch.equal(layer.initial_h.grad, torch.zeros(1, 4))


CELLS = [
    (elman.nn.RNNCell, {}),
    (elman.nn.GRUCell, {}),
    (elman.nn.GRUCell, {"reset_gate": "before", "bias": False}),
    (elman.nn.LSTMCell, {}),
]


@pytest.mark.parametrize(("kind", "options"), CELLS, ids=str)
def test_a_cell_takes_the_short_way_with_the_bits_of_the_long_one(kind, options, seen, monkeypatch):
    cell = kind(5, 19, backend="cpu" if cpu.is_built() else "auto", dtype=torch.float64, **options)
    x, *state = _leaves(torch.float64, (4, 3, 5), *[(4, 19)] * len(cell.cell.states))
    wanted = [x, *state, *cell.parameters()]

    def run():
        return cell(x[:, 1], _as_given(state))

    @torch.no_grad()
    def infer():
        return _flat([run(), cell(x[:, 0])])

    short = [*_derivatives(run, wanted), *infer()]
    assert seen == [True, False, False] * cpu.is_built()
    monkeypatch.setattr(_cells, "step_quickly", lambda *_: None)
    for one, other in zip(short, [*_derivatives(run, wanted), *infer()], strict=True):
        assert torch.equal(one, other)
    assert len(seen) == 3 * cpu.is_built()


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_a_step_of_a_simple_network_has_torchs_numbers(nonlinearity, seen):
    for rows in (4, 400):
        theirs = torch.nn.RNNCell(5, 19, nonlinearity=nonlinearity)
        ours = elman.nn.RNNCell(5, 19, nonlinearity=nonlinearity)
        ours.load_state_dict(theirs.state_dict())
        x, h = torch.randn(rows, 5), torch.randn(rows, 19)
        found = [[cell(x, h), cell(x)] for cell in (ours, theirs)]
        for one, other in zip(*found, strict=True):
            assert_close(one, other)
        assert bool(seen) == cpu.is_built()


def _flat(result):
    """The tensors of what a layer or a cell gives."""
    if isinstance(result, torch.Tensor):
        return [result]
    return [one for part in result for one in _flat(part)]


@pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed")
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("case", **named(CASES))
def test_a_single_step_has_the_bits_of_a_longer_call(case, rows):
    layer = _layer(case, I=21, H=37)
    x = torch.randn(4, rows, 21)
    with torch.no_grad():
        output = layer(x)[0]
        assert torch.equal(layer(x[:1])[0], output[:1])
        assert torch.equal(layer.step(x[0])[0], output[0])
        one = layer.stepper(batch=rows)
        if not case.name.startswith("rnn-jordan"):
            assert torch.equal(torch.stack([one(x_t) for x_t in x]), output)


def test_the_short_way_is_left_where_something_watches():
    layer, x = elman.nn.GRU(3, 4), torch.randn(5, 2, 3)
    with torch.no_grad():
        expected = layer(x)[0]
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x)[0].dtype == torch.float32, "torch's GRU gives its state's dtype back"
            assert not torch.equal(layer(x)[0], expected)
        assert torch.equal(torch.func.vmap(lambda one: layer(one)[0])(x[None])[0], expected)
        torch.nn.utils.parametrizations.orthogonal(layer, "weight_hh_l0")
        twice = layer(x)[0]
        assert not torch.equal(twice, expected)
        assert_close(twice, elman.nn.GRU.forward(layer, x)[0])


def test_a_step_of_plain_tensors_takes_the_short_way_and_of_others_the_long_one(monkeypatch):
    stepper = elman.nn.GRU(3, 4).stepper(batch=2)
    if stepper._take is None:
        pytest.skip("the native module is not installed")
    taken, take = [], stepper._take
    monkeypatch.setattr(stepper, "_take", lambda x, y: taken.append(take(x, y)) or taken[-1])
    x, room = torch.randn(2, 3), torch.zeros(2, 8)
    outs = [torch.empty(2, 4), None]
    turned, negative = x.t().contiguous().t(), torch.complex(x, -x).conj().imag
    ways = [(x, outs[0]), (x, None), (turned, outs[0]), (negative, None)]
    if hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        expected = [True, True, False, False]
    else:
        expected = [False] * 4
    found = []
    for way in ways:
        stepper.reset()
        found.append(stepper(*way).clone())
    assert taken == expected
    for one in found:
        assert torch.equal(one, found[0])
    # one memory for both: what is read is read first
    room[:, :3] = x
    shared = room.flatten()[:8].view(2, 4)
    stepper.reset()
    before = shared[:, :3].contiguous()
    expected_there = stepper(before).clone()
    stepper.reset()
    assert torch.equal(stepper(shared[:, :3], out=shared), expected_there)
    with pytest.raises(ValueError, match=r"Stepper: x_t has shape \(2, 4\), expected \(2, 3\)"):
        stepper(torch.randn(2, 4), outs[0])
    with pytest.raises(ValueError, match="Stepper: out has shape"):
        stepper(x, torch.empty(2, 3))


def test_what_a_stepper_does_not_take_leaves_it_as_it_was():
    stepper, x = elman.nn.GRU(3, 4).stepper(batch=2), torch.randn(2, 3)
    for wrong in (None, [[1.0, 2.0, 3.0]]):
        with pytest.raises(TypeError, match="Stepper: x_t is a .*; give a tensor."):
            stepper(wrong)
    with pytest.raises(TypeError, match="Stepper: out is a list; give a tensor."):
        stepper(x, [0.0])
    with pytest.raises(ValueError, match="with its sign left for later"):
        stepper(x, out=torch.complex(torch.zeros(2, 4), torch.zeros(2, 4)).conj().imag)
    assert stepper.state is None
    assert stepper(x)._version == 0
