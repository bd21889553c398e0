"""Tensors that the kernels read themselves: the same as a call of whole numbers from Python, or not read at all."""

import re
from pathlib import Path

import pytest
import torch
from kernels.calls import (
    CELLS,
    KINDS,
    NOT_PLAIN,
    SHAPES,
    ByFields,
    Kind,
    by_kernel,
    gradients_like,
    make,
)

from elman import nn
from elman.cells import gru
from elman.kernels import _flags, _memory, cpu, stack, tensors_of

pytestmark = pytest.mark.skipif(
    not cpu.is_built() or not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"),
    reason="the native module is not installed, or this torch does not say how tensors are read",
)
ALL = KINDS | {"output layer": Kind(lengths=True, fed_back=3)}
RUNS = [
    (cell, kind)
    for cell in ("rnn_tanh", "gru", "gru_reset_before", "lstm")
    for kind in ALL
    if cell in ("rnn_tanh", "lstm") or not ALL[kind].fed_back
]


@pytest.fixture
def answers(monkeypatch):
    """What the native module answers to calls of tensors; 0 where it ran them."""
    found, native = [], cpu.native

    class Noted(ByFields):
        def scan(self, *arguments):
            return noted(native.scan(*arguments))

        def scan_back(self, *arguments):
            return noted(native.scan_back(*arguments))

    def noted(made):
        found.append(made if isinstance(made, int) else 0)
        return made

    monkeypatch.setattr(cpu, "native", Noted(native))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("cell", "kind"), RUNS)
def test_they_are_what_fields_say(cell, kind, dtype, answers, monkeypatch):
    for shape in SHAPES:
        call = make(CELLS[cell], shape, ALL[kind], dtype)
        if cpu.unsupported(call) or (dtype is torch.bfloat16 and cpu.only_in_float32(call)):
            continue
        grads = gradients_like(call)
        for compact in (True, False):
            saved = cpu.forward(
                call, [t if t is None else t.detach() for t in tensors_of(call)], True, compact
            )[2]
            assert answers[-1] == 0
            assert cpu.saved_size(call, compact) == (0 if saved is None else saved.numel())
        read = by_kernel(call, grads)
        assert answers[-2:] == [0, 0]
        with monkeypatch.context() as patch:
            patch.setattr(cpu, "native", ByFields(cpu.native))
            by_fields = by_kernel(call, grads)
        for one, other in zip((*read[0], *read[1]), (*by_fields[0], *by_fields[1]), strict=True):
            assert one.dtype is other.dtype
            assert torch.equal(one, other)


def _forward(call, change):
    tensors = [None if t is None else t.detach() for t in tensors_of(call)]
    change(tensors)
    return cpu.forward(call, tensors, save=True)


NOT_CONTIGUOUS = {
    "input": (0, lambda t: t.transpose(1, 2).contiguous().transpose(1, 2)),
    "weight_ih": (1, lambda t: t.t().contiguous().t()),
    "bias_hh": (4, lambda t: torch.stack([t, t], 1)[:, 0]),
    "state": (7, lambda t: t.t().contiguous().t()),
    "negative": (0, lambda t: torch.complex(t, -t).conj().imag),
}


@pytest.mark.parametrize("name", NOT_CONTIGUOUS)
def test_what_does_not_stand_in_a_row_goes_by_fields(name, answers):
    call = make(CELLS["gru"], (5, 3, 7, 5))
    at, change = NOT_CONTIGUOUS[name]

    def changed(tensors):
        tensors[at] = change(tensors[at])

    expected = _forward(call, lambda tensors: None)
    found = _forward(call, changed)
    assert answers == [0, NOT_PLAIN]
    assert torch.equal(found[0], expected[0])


MISFITS = {
    "weight_hh": (2, lambda t: t[:, :-1].contiguous(), r"weight_hh has shape \(15, 4\)"),
    "rows": (1, lambda t: t[:-1].contiguous(), r"weight_ih has shape \(14, 7\)"),
    "bias_ih": (3, lambda t: t[:-1].contiguous(), r"bias_ih has shape \(14,\)"),
    "state": (7, lambda t: t[:-1].contiguous(), r"h has shape \(2, 5\)"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_sizes_that_do_not_fit_are_not_read(name, answers):
    call = make(CELLS["gru"], (5, 3, 7, 5))
    at, change, words = MISFITS[name]

    def changed(tensors):
        tensors[at] = change(tensors[at])

    with pytest.raises(ValueError, match=words):
        _forward(call, changed)
    assert answers == [NOT_PLAIN]


@pytest.mark.parametrize("field", ["lengths", "resets"])
def test_lengths_and_resets_that_do_not_fit_are_not_read(field, answers):
    call = make(CELLS["gru"], (5, 3, 7, 5), KINDS["all"])
    setattr(call, field, getattr(call, field)[:-1])
    with pytest.raises(ValueError, match=f"{field} has shape"):
        _forward(call, lambda tensors: None)
    assert answers == [NOT_PLAIN]


def test_lengths_of_another_type_are_packed(answers):
    call = make(CELLS["gru"], (5, 3, 7, 5), KINDS["lengths"])
    expected = _forward(call, lambda tensors: None)
    call.lengths = call.lengths.int()
    found = _forward(call, lambda tensors: None)
    assert answers == [0, NOT_PLAIN]
    assert torch.equal(found[0], expected[0])


def test_a_gradient_that_stands_otherwise_is_packed(answers):
    call = make(CELLS["lstm"], (5, 3, 7, 5))
    output, *after = gradients_like(call)
    expected = by_kernel(call, [output, *after])
    turned = output.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    found = by_kernel(call, [turned, after[0].t().contiguous().t(), after[1]])
    assert answers == [0, 0, 0, NOT_PLAIN]
    for one, other in zip(found[1], expected[1], strict=True):
        assert torch.equal(one, other)


def test_python_and_cpp_name_flags_and_answers_alike():
    native = Path(__file__).parents[2] / "native"
    text = "".join((native / name).read_text("utf-8") for name in ("call.h", "tensors.h", "scan.h"))
    known = {name: one for name, one in vars(_flags).items() if name.isupper()}
    assert len(known) == 10
    for name, number in known.items():
        assert re.findall(rf"\b{name} = (\d+)", text) == [str(number)]
    assert _flags.NOT_PLAIN == NOT_PLAIN


def _infer(kind, change=lambda given: None, is_layer=True):
    """What `stack.infer` makes of an input, weights and a state that a test changes."""
    module = getattr(nn, kind if is_layer else f"{kind}Cell")(5, 7)
    shape = (1, 3, 7) if is_layer else (3, 7)
    state = [torch.randn(shape) for _ in module.cell.states]
    given = {
        "weights": [*(p.detach() for p in module.parameters()), None, None],
        "input": torch.randn(4, 3, 5) if is_layer else torch.randn(3, 5),
        "hx": tuple(state) if len(state) > 1 else state[0],
        "lengths": None,
    }
    change(given)
    w, x, hx, lengths = given.values()
    what = (module.cell, stack.LAYERS if is_layer else stack.CELL, 1, (lengths, None, None))
    return stack.infer(what, [w], x, hx)


@pytest.mark.parametrize("is_layer", [True, False])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_what_it_makes_is_as_it_was_asked_for(kind, is_layer):
    made = _infer(kind, is_layer=is_layer)
    if not is_layer:
        assert [s.shape for s in made] == [(3, 7)] * len(made)
        return
    output, after = made
    assert output.shape == (4, 3, 7)
    assert isinstance(after, tuple) == (kind == "LSTM")
    h = after[0] if kind == "LSTM" else after
    assert h.shape == (1, 3, 7)
    assert torch.equal(h[0], output[-1])
    # nobody else's memory
    h.zero_()
    assert output[-1].count_nonzero()


def _changed(name, change):
    return lambda given: given.update({name: change(given[name])})


NOT_TO_BE_READ = {
    "a state of a cell": ("GRU", True, _changed("hx", lambda h: h[0])),
    "a state of two layers": ("GRU", True, _changed("hx", lambda h: h.repeat(2, 1, 1))),
    "a state of other rows": ("GRU", True, _changed("hx", lambda h: h[:, :2].contiguous())),
    "a state of another size": ("GRU", True, _changed("hx", lambda h: h[..., :5].contiguous())),
    "a tuple of one": ("GRU", True, _changed("hx", lambda h: (h,))),
    "a list": ("LSTM", True, _changed("hx", list)),
    "one of two": ("LSTM", True, _changed("hx", lambda hx: hx[:1])),
    "none of two": ("LSTM", True, _changed("hx", lambda hx: (hx[0], None))),
    "no tensor": ("RNN", True, _changed("hx", lambda h: 3)),
    "another type": ("RNN", True, _changed("hx", lambda h: h.double())),
    "a layer's state": ("RNN", False, _changed("hx", lambda h: h[None])),
    "a cell's sequence": ("RNN", False, _changed("input", lambda x: x[None])),
    "a sequence of sequences": ("RNN", True, _changed("input", lambda x: x[None])),
    "five weights": ("RNN", True, _changed("weights", lambda w: w[:5])),
    "no weights": ("RNN", True, _changed("weights", lambda w: [None, *w[1:]])),
    "lengths": ("RNN", True, _changed("lengths", lambda _: torch.tensor([1, 2]))),
    "a length": ("RNN", True, _changed("lengths", lambda _: torch.tensor([1, 2, 5]))),
}


@pytest.mark.parametrize("name", NOT_TO_BE_READ)
def test_what_does_not_fit_is_left_to_the_long_way(name):
    kind, is_layer, change = NOT_TO_BE_READ[name]
    assert _infer(kind, change, is_layer) is None


def test_a_large_output_is_made_of_memory_that_comes_back(monkeypatch):
    taken, take = [], _memory._take
    monkeypatch.setattr(_memory, "_take", lambda size: taken.append(size) or take(size))
    layer = nn.GRU(3, 64)
    with torch.no_grad():
        for steps in (204, 205):
            output, _ = layer(torch.randn(steps, 20, 3))
            assert output.is_contiguous()
            assert output.shape == (steps, 20, 64)
    assert taken == [205 * 20 * 64 * 4]


def _reads(x, change=lambda weight: weight):
    """Whether the kernels read an input (3, 4) and a weight as they are."""
    weights = [change(torch.ones(15, 4)), torch.ones(15, 5), None, None, None, None]
    with torch.no_grad():
        return stack.infer((gru.cell, stack.CELL, 1, stack.NO_CUTS), [weights], x, None) is not None


def test_what_is_plain():
    x = torch.randn(3, 4)
    assert _reads(x)
    assert _reads(x, torch.nn.Parameter)
    assert not _reads(x, torch.Tensor.double)
    assert not _reads(x.int())
    assert not _reads(torch.empty(3, 4, device="meta"))
    assert not _reads(torch.complex(x, x).conj().imag)
    assert not _reads(x.to_sparse())
    assert not _reads(object())

    class Own(torch.Tensor):
        pass

    assert not _reads(x.as_subclass(Own))
    seen = []
    torch.func.vmap(lambda rows: seen.append(_reads(rows)) or rows)(torch.randn(2, 3, 4))
    torch.func.grad(lambda rows: seen.append(_reads(rows)) or rows.sum())(x)
    assert seen == [False, False]


def test_layers_without_it_are_the_same(monkeypatch):
    layer, x = nn.LSTM(5, 7), torch.randn(6, 3, 5)
    found = layer(x)[0]
    (slope,) = torch.autograd.grad(found.sum(), layer.weight_hh_l0)
    monkeypatch.setattr(cpu, "native", ByFields(cpu.native))
    packed = layer(x)[0]
    assert torch.equal(packed, found)
    assert torch.equal(torch.autograd.grad(packed.sum(), layer.weight_hh_l0)[0], slope)
    with torch.no_grad():
        assert torch.equal(layer(x)[0], found)


def test_what_a_mode_left_behind_is_not_read():
    left = []
    torch.func.functionalize(lambda x: (left.append(x), x * 1)[1])(torch.randn(5, 3, 4))
    assert not _reads(left[0][0])
    assert nn.GRU(4, 4, backend="cpu")(left[0])[0].shape == (5, 3, 4)


def _freed(*size):
    x = torch.randn(*size)
    x.untyped_storage().resize_(0)
    return x


@pytest.mark.parametrize("make_one", [_freed, torch._efficientzerotensor], ids=["freed", "zero"])
def test_what_has_no_numbers_in_memory_is_refused(make_one):
    layer = nn.GRU(3, 4)
    with pytest.raises(ValueError, match=r"a tensor of shape \(5, 2, 3\) has no numbers in memory"):
        layer(make_one(5, 2, 3))
    with pytest.raises(ValueError, match=r"a tensor of shape \(2, 3\) has no numbers in memory"):
        layer.stepper(2)(make_one(2, 3))


def test_a_gradient_reads_what_was_saved_in_its_type():
    layer, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().double(), lambda t: t):
        y, _ = layer(x)
    with pytest.raises(TypeError, match=r"GRU: what the gradient reads is torch.float32 and"):
        y.sum().backward()


def test_a_saved_record_that_comes_back_in_pieces_is_put_together():
    layer, x = nn.GRU(5, 7), torch.randn(3, 4, 5)
    wanted = [x.requires_grad_(), *layer.parameters()]

    def gradients():
        return torch.autograd.grad(layer(x)[0].square().sum(), wanted)

    def in_pieces(t):
        return torch.stack([t, torch.zeros_like(t)], -1)[..., 0]

    expected = gradients()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, in_pieces):
        found = gradients()
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_gradient_without_what_was_saved_is_refused(checkpointed):
    call = make(CELLS["lstm"], (40, 3, 7, 5))
    call.checkpointed = checkpointed
    tensors = [None if t is None else t.detach() for t in tensors_of(call)]
    output, _, saved = cpu.forward(call, tensors, save=True)
    assert saved is not None
    needed = [t is not None for t in tensors]
    with pytest.raises(ValueError, match="needs what the forward pass saved"):
        cpu.backward(call, tensors, gradients_like(call), needed, output, None)


def test_a_state_of_many_dimensions_gets_its_gradient(answers):
    call = make(CELLS["gru"], (5, 3, 7, 5))
    tensors = [None if t is None else t.detach() for t in tensors_of(call)]
    needed, grads = [t is not None for t in tensors], gradients_like(call)

    def gradient():
        output, _, saved = cpu.forward(call, tensors, save=True)
        return cpu.backward(call, tensors, grads, needed, output, saved)[7]

    expected = gradient()
    tensors[7] = tensors[7][(None,) * 40]
    assert torch.equal(gradient()[(0,) * 40], expected)
    assert answers == [0, 0, NOT_PLAIN, NOT_PLAIN]
