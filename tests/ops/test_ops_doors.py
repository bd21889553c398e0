"""Every way into the native kernels gives what the reference gives: eager, torch.func, compile,
export, operators, autocast."""

import copy
import io
import time

import pytest
import torch
from kernels.calls import CELLS, KINDS, make
from tolerances import assert_close
from torch.export import Dim, export
from torch.func import functional_call, grad, hessian, jacrev, jvp, vjp, vmap
from torch.library import opcheck
from torch.utils import _pytree as pytree

import elman
from elman.kernels import cpu, tensors_of
from elman.ops._doors import Door, door

pytestmark = [
    pytest.mark.skipif(not cpu.is_built(), reason="the native module is not installed"),
    pytest.mark.filterwarnings("ignore"),
]
LAYERS = {
    "rnn": (elman.nn.RNN, {}),
    "gru": (elman.nn.GRU, {}),
    "gru-reset-before": (elman.nn.GRU, {"reset_gate": "before"}),
    "lstm": (elman.nn.LSTM, {"num_layers": 2, "bidirectional": True}),
}


@pytest.fixture(params=LAYERS)
def pair(request):
    """A layer by the native kernels, and the same by the reference."""
    kind, arguments = LAYERS[request.param]
    native = kind(3, 5, backend="cpu", **arguments).double()
    reference = kind(3, 5, backend="reference", **arguments).double()
    reference.load_state_dict(native.state_dict())
    return native, reference


def _x(*size):
    return torch.randn(*size, dtype=torch.float64)


def _same(one, other):
    for a, b in zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=True):
        assert_close(a, b, "backward")


def _output(layer, parameters, x):
    return functional_call(layer, parameters, (x,))[0]


def _loss(layer):
    return lambda parameters, x: _output(layer, parameters, x).pow(2).sum()


def _parameters(layer):
    return {name: p.detach() for name, p in layer.named_parameters()}


TRANSFORMS = {
    "grad": lambda layer, p, x: grad(_loss(layer))(p, x[0]),
    "vmap-inputs": lambda layer, p, x: vmap(lambda a: _output(layer, p, a))(x),
    "vmap-inner-dimension": lambda layer, p, x: vmap(lambda a: _output(layer, p, a), 2)(
        x.movedim(0, 2)
    ),
    "vmap-parameters": lambda layer, p, x: vmap(lambda q: _output(layer, q, x[0]))(
        {name: torch.stack([v, v * 1.1]) for name, v in p.items()}
    ),
    "per-sample-gradients": lambda layer, p, x: vmap(grad(_loss(layer)), (None, 0))(p, x),
    "grad-of-vmap": lambda layer, p, x: grad(
        lambda q: vmap(lambda a: _loss(layer)(q, a))(x).sum()
    )(p),
    "grad-of-grad": lambda layer, p, x: grad(
        lambda a: grad(_loss(layer), 1)(p, a).pow(2).sum()
    )(x[0]),
    "jacrev": lambda layer, p, x: jacrev(lambda a: _output(layer, p, a).sum((0, 2)))(x[0]),
    "jacrev-of-jacrev": lambda layer, p, x: jacrev(jacrev(lambda a: _loss(layer)(p, a)))(x[0][:2]),
    "hessian": lambda layer, p, x: hessian(lambda a: _loss(layer)(p, a))(x[0][:2]),
    "jvp": lambda layer, p, x: jvp(lambda a: _output(layer, p, a), (x[0],), (x[1],)),
}  # fmt: skip


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_torch_func(pair, transform):
    native, reference = pair
    p, x = _parameters(native), _x(2, 4, 2, 3)
    run = TRANSFORMS[transform]
    _same(run(native, p, x), run(reference, p, x))


def test_lengths_and_resets_may_be_filled_anew_before_a_pull(pair):
    native, reference = pair
    x, lengths, resets = _x(6, 2, 3), torch.tensor([2, 4]), torch.zeros(6, 2, dtype=torch.bool)
    found = []
    for layer in (native, reference):
        own = lengths.clone(), resets.clone()
        y, pull = vjp(lambda a, layer=layer, own=own: layer(a, lengths=own[0], resets=own[1])[0], x)
        own[0].fill_(6)
        own[1].fill_(True)
        found.append(pull(torch.ones_like(y)))
    _same(*found)


def test_double_backward(pair):
    native, _ = pair
    x = _x(3, 2, 3).requires_grad_()
    torch.autograd.gradcheck(lambda a: native(a)[0], (x,))
    torch.autograd.gradgradcheck(lambda a: native(a)[0], (x,))


@pytest.mark.parametrize("lengths", [None, [3, 0]])
def test_a_gradient_of_a_gradient_reaches_the_weights(pair, lengths):
    found = []
    lengths = None if lengths is None else torch.tensor(lengths)
    for layer in pair:
        x = _x(4, 2, 3).requires_grad_() if not found else found[0][0]
        y = layer(x, lengths=lengths)[0]
        (dx,) = torch.autograd.grad(y.pow(2).sum(), x, create_graph=True)
        dx.pow(2).sum().backward()
        found.append((x, [p.grad for p in layer.parameters()]))
    _same(found[0][1], found[1][1])


def test_lengths_and_resets_may_be_filled_anew_before_the_gradient(pair):
    layer, _ = pair
    x, lengths, resets = _x(5, 3, 3), torch.tensor([5, 0, 2]), torch.rand(5, 3) < 0.3
    found = []
    for changed in (False, True):
        loss = layer(x, lengths=lengths, resets=resets)[0].sum()
        if changed:
            lengths.fill_(5)
            resets.fill_(True)
        found.append(torch.autograd.grad(loss, [*layer.parameters()]))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_backward_in_eval_mode_twice_and_after_checkpointing(pair):
    native, reference = pair
    native.eval()
    x = _x(4, 2, 3).requires_grad_()
    y = native(x)[0].sum()
    (once,) = torch.autograd.grad(y, x, retain_graph=True)
    (again,) = torch.autograd.grad(y, x)
    z = torch.utils.checkpoint.checkpoint(lambda a: native(a)[0], x, use_reentrant=False).sum()
    _same([once, again, *torch.autograd.grad(z, x)], [*torch.autograd.grad(reference(x)[0].sum(), x)] * 3)  # fmt: skip


def _left_behind(*size):
    """A tensor that belongs to a transform which has ended."""
    left = []
    grad(lambda a: (left.append(a), a.sum())[1])(_x(*size))
    return left[0]


def test_a_tensor_that_a_transform_left_behind(pair):
    x = _left_behind(4, 2, 3)
    with torch.no_grad():
        _same(*(layer(x) for layer in pair))
    _same(*(torch.autograd.grad(layer(x)[0].sum(), layer.parameters()) for layer in pair))


STEPS = ["RNNCell", "GRUCell", "LSTMCell"]


@pytest.mark.parametrize("name", STEPS)
def test_every_door_of_a_cell(name):
    native = getattr(elman.nn, name)(3, 5, backend="cpu", dtype=torch.float64)
    auto, reference = (
        getattr(elman.nn, name)(3, 5, backend=one, dtype=torch.float64)
        for one in ("auto", "reference")
    )
    for cell in (auto, reference):
        cell.load_state_dict(native.state_dict())
    x, many = _x(2, 3), _x(7, 3)
    hx, left, row = (
        _state(native, draw, size) for draw, size in ((_x, 2), (_left_behind, 2), (_x, 1))
    )
    for cell in (native, auto):
        both = (cell, reference)
        _same(*(one(x, hx) for one in both))
        _same(*(one(x, left) for one in both))
        with torch.no_grad():
            _same(*(one(x, left) for one in both))
        _same(*(vmap(one, (0, None))(x[:, None], row) for one in both))
        _same(*(jvp(lambda a, one=one: one(a, hx), (x,), (x,))[1] for one in both))
        _same(*(functional_call(one, _parameters(one), (x, hx)) for one in both))
        exported = export(cell, (x,), dynamic_shapes={"input": {0: Dim("B")}}).module()
        _same(exported(many), reference(many))


def _state(cell, draw, rows):
    states = tuple(draw(rows, 5) for _ in cell.cell.states)
    return states if len(states) > 1 else states[0]


@pytest.mark.parametrize("name", STEPS)
def test_a_cell_without_numbers(name):
    cell = getattr(elman.nn, name)(3, 5, device="meta")
    for one in pytree.tree_leaves(cell(torch.empty(2, 3, device="meta"))):
        assert one.shape == (2, 5)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_compile_whole_with_dynamic_steps_and_batch(name):
    kind, arguments = LAYERS[name]
    native = kind(3, 5, backend="cpu", **arguments)
    reference = kind(3, 5, backend="reference", **arguments)
    reference.load_state_dict(native.state_dict())
    torch._dynamo.reset()
    compiled = torch.compile(native, fullgraph=True, dynamic=True)
    for steps, batch in ((7, 4), (9, 6), (300, 3)):
        x = torch.randn(steps, batch, 3)
        start = time.perf_counter()
        y, _ = compiled(x)
        took = time.perf_counter() - start
        assert_close(y, reference(x)[0])
        grads = []
        for layer, output in ((native, y), (reference, reference(x)[0])):
            output.sum().backward()
            grads.append([p.grad for p in layer.parameters()])
            layer.zero_grad()
        for one, other in zip(*grads, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    # the last shapes are compiled already: their time does not depend on T
    assert took < 1
    x, lengths, resets = torch.randn(7, 4, 3), torch.tensor([7, 0, 3, 2]), torch.rand(7, 4) < 0.3
    assert_close(
        compiled(x, lengths=lengths, resets=resets)[0],
        reference(x, lengths=lengths, resets=resets)[0],
    )
    with torch.no_grad():
        assert_close(compiled(x)[0], reference(x)[0])


def test_export_with_dynamic_steps_and_batch(tmp_path, pair):
    native, reference = pair
    shapes = ({0: Dim.AUTO, 1: Dim.AUTO},)
    program = export(native, (_x(7, 4, 3),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "layer.pt2")
    loaded = torch.export.load(tmp_path / "layer.pt2").module()
    x = _x(11, 9, 3)
    _same(loaded(x)[0], reference(x)[0])


@pytest.mark.parametrize("way", [(False, None), (True, 0.5)])
@pytest.mark.parametrize("kind", ["dense", "all-reverse"])
@pytest.mark.parametrize("name", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_opcheck(name, kind, way):
    call = make(CELLS[name], (4, 3, 2, 5), KINDS[kind], torch.float64)
    tensors = tensors_of(call)
    rest = (call.lengths, call.resets, name, call.cell.output.name, call.reverse, *way)
    opcheck(torch.ops.elman.scan.default, (*tensors, *rest, True))
    with torch.no_grad():
        out, _, _, saved = torch.ops.elman.scan.default(*tensors, *rest, True)
    needed = [t is not None for t in tensors]
    dout = torch.randn_like(out)
    opcheck(
        torch.ops.elman.scan_gradient.default, (*tensors, *rest, out, saved, dout, None, None, needed)
    )  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_fake_and_meta_tensors_have_the_right_shapes(name):
    kind, arguments = LAYERS[name]
    expected = kind(3, 5, **arguments)(torch.randn(7, 4, 3))[0].shape
    with torch._subclasses.FakeTensorMode():
        assert kind(3, 5, **arguments)(torch.empty(7, 4, 3))[0].shape == expected
    layer = kind(3, 5, device="meta", **arguments)
    assert layer(torch.empty(7, 4, 3, device="meta"))[0].shape == expected


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(elman.nn.RNN, torch.nn.RNN), (elman.nn.GRU, torch.nn.GRU), (elman.nn.LSTM, torch.nn.LSTM)],
)
def test_autocast_gives_torchs_dtypes_and_numbers(ours, theirs, backend):
    one, other = ours(3, 5, backend=backend), theirs(3, 5)
    other.load_state_dict(one.state_dict())
    x = torch.randn(7, 4, 3)
    # torch's LSTM raises on a processor without bfloat16; it would give the same as in float32
    able = theirs is not torch.nn.LSTM or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    with torch.autocast("cpu", torch.bfloat16):
        y, hx = one(x)
        z, hz = other(x) if able else (x, None)
    if not able:
        z, hz = pytree.tree_map(torch.Tensor.bfloat16, other(x))
    assert y.dtype == z.dtype
    for a, b in zip([y, *pytree.tree_leaves(hx)], [z, *pytree.tree_leaves(hz)], strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("options", [{"layer_norm": True}, {"zoneout": 0.3}], ids=str)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_autocast_keeps_what_the_reference_alone_can(kind, options):
    layer = getattr(elman.nn, kind)(3, 5, **options).eval()
    low = copy.deepcopy(layer).bfloat16()
    x = torch.randn(6, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = layer(x)
    assert torch.equal(y.bfloat16(), low(x.bfloat16())[0])
    y.float().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", STEPS)
def test_autocast_of_a_cell_gives_torchs_dtypes_and_numbers(name, dtype):
    one, other = getattr(elman.nn, name)(3, 5), getattr(torch.nn, name)(3, 5)
    other.load_state_dict(one.state_dict())
    x, states = torch.randn(4, 3), [torch.randn(4, 5, dtype=dtype) for _ in one.cell.states]
    with torch.autocast("cpu", torch.bfloat16):
        for hx in (None, tuple(states) if len(states) > 1 else states[0]):
            found = [pytree.tree_leaves(cell(x, hx)) for cell in (one, other)]
            for a, b in zip(*found, strict=True):
                assert a.dtype == b.dtype
                torch.testing.assert_close(a, b, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("T", [0, 200_000])
@pytest.mark.parametrize("name", LAYERS)
def test_no_steps_and_very_many(name, T):
    kind, arguments = LAYERS[name]
    layer = kind(3, 5, backend="cpu", **arguments)
    x = torch.randn(T, 1, 3, requires_grad=True)
    y, _ = layer(x)
    assert y.shape[0] == T
    y.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_no_rows():
    layer = elman.nn.GRU(3, 5, backend="cpu")
    y, h = layer(torch.randn(4, 0, 3))
    assert y.shape == (4, 0, 5)
    assert h.shape == (1, 0, 5)


def test_the_doors_are_told_apart():
    call = make(CELLS["gru"], (3, 2, 4, 5))
    seen = {}

    def look(which):
        def run(x):
            seen[which] = door(call)
            return x.sum()

        return run

    look("eager")(torch.ones(2))
    grad(look("func"))(torch.ones(2))
    with torch.autograd.forward_ad.dual_level():
        look("forward")(torch.ones(2))
    with torch._subclasses.FakeTensorMode():
        look("fake")(torch.ones(2))
    assert seen == {
        "eager": Door.EAGER, "func": Door.TRANSFORM, "forward": Door.REFERENCE, "fake": Door.OPERATOR,
    }  # fmt: skip


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_trace_goes_with_any_steps_and_batch(name, gradient):
    kind, arguments = LAYERS[name]
    layer, stream = kind(3, 5, **arguments).eval(), io.BytesIO()
    with torch.set_grad_enabled(gradient):
        torch.jit.save(torch.jit.trace(layer, torch.randn(4, 2, 3)), stream)
        stream.seek(0)
        traced = torch.jit.load(stream)
        for size in ((4, 2, 3), (300, 7, 3)):
            x = torch.randn(size)
            for one, other in zip(
                pytree.tree_leaves(traced(x)), pytree.tree_leaves(layer(x)), strict=True
            ):
                torch.testing.assert_close(one, other)


def test_a_sign_that_torch_left_for_later(pair):
    native, reference = pair
    # of numbers that are conjugated later, the imaginary parts
    x = torch.complex(_x(4, 2, 3), _x(4, 2, 3)).conj().imag
    assert x.is_neg()
    found = []
    for layer in (native, reference):
        y = layer(x)[0]
        found.append(
            [y, *torch.autograd.grad(y, layer.parameters(), torch.ones_like(y)._neg_view())]
        )
    _same(*found)
