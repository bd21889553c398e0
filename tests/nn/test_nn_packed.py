"""PackedSequences: torch's numbers, with quick gradients."""

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.nn.utils.rnn import pad_packed_sequence as pad_with_torch

import elman
from elman.kernels import cpu

needs_native = pytest.mark.skipif(
    not cpu.is_built(), reason="the native module is not installed (ELMAN_NATIVE=0)"
)
LENGTHS = {"sorted": [6, 4, 4, 1], "unsorted": [4, 1, 6, 4], "one": [3]}


def packed_of(lengths, is_sorted=False):
    data = torch.randn(len(lengths), max(lengths), 3, dtype=torch.float64)
    return pack_padded_sequence(data, torch.tensor(lengths), True, is_sorted)


def with_leaf(packed):
    leaf = packed.data.clone().requires_grad_()
    return leaf, packed._replace(data=leaf)


@pytest.mark.parametrize("options", [(), (True,), (False, -2.5), (True, 0.5, 9)], ids=str)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_pads_like_torch(lengths, options):
    packed = packed_of(LENGTHS[lengths], lengths == "sorted")
    (ours, a), (theirs, b) = with_leaf(packed), with_leaf(packed)
    found, found_lengths = elman.nn.pad_packed_sequence(a, *options)
    expected, expected_lengths = pad_with_torch(b, *options)
    assert torch.equal(found, expected)
    assert torch.equal(found_lengths, expected_lengths)
    grad = torch.randn_like(found)
    found.backward(grad)
    expected.backward(grad)
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_packs_like_torch(lengths, batch_first):
    steps, is_sorted = torch.tensor(LENGTHS[lengths]), lengths == "sorted"
    shape = (len(steps), 7) if batch_first else (7, len(steps))
    x = torch.randn(*shape, 3, 2, requires_grad=True)
    for given in (steps, steps.tolist(), steps.int()):
        found = elman.nn.pack_padded_sequence(x, given, batch_first, is_sorted)
        expected = pack_padded_sequence(x, steps, batch_first, is_sorted)
        for one, other in zip(found, expected, strict=True):
            assert (one is other is None) or torch.equal(one, other)
    grad = torch.randn_like(found.data)
    (one,) = torch.autograd.grad(found.data, x, grad)
    (other,) = torch.autograd.grad(expected.data, x, grad)
    assert torch.equal(one, other)
    back, _ = elman.nn.pad_packed_sequence(found, batch_first)
    assert torch.equal(back, pad_with_torch(expected, batch_first)[0])


def test_packs_where_rows_do_not_stand_in_memory():
    x = torch.randn(3, 4, 6).transpose(0, 2)
    found = elman.nn.pack_padded_sequence(x, [6, 5, 5, 1])
    assert torch.equal(found.data, pack_padded_sequence(x, torch.tensor([6, 5, 5, 1])).data)


@pytest.mark.parametrize(
    ("shape", "lengths", "text"),
    [
        ((4, 2, 3), [3, 0], "lengths[1] is 0, and a packed row has a step at least; leave the row out"),
        ((4, 2, 3), [3, 5], "lengths[1] is 5, expected 0 to 4, the steps of the input."),
        ((4, 2, 3), [2, 3], "lengths are [2, 3], which rise; sort the rows, longest first, or give"),
        ((4, 2, 3), [2], "lengths has shape (1,), expected (2,), one for each row."),
        ((4, 0, 3), [], "input has shape (4, 0, 3); give (T, B, ·) with a row and a step at least."),
        ((4,), [4], "input has shape (4,); give (T, B, ·) with a row and a step at least."),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_packed(shape, lengths, text):
    with pytest.raises(ValueError, match="^pack_padded_sequence: ") as caught:
        elman.nn.pack_padded_sequence(torch.randn(shape), lengths)
    assert text in str(caught.value)


def test_what_stands_in_a_row_may_have_any_shape_and_type():
    for rows in ([torch.arange(3), torch.arange(5)], [torch.ones(2, 3, 4), torch.zeros(1, 3, 4)]):
        packed = torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
        found, expected = elman.nn.pad_packed_sequence(packed), pad_with_torch(packed)
        assert found[0].dtype == expected[0].dtype
        assert torch.equal(found[0], expected[0])


def graph_size(tensor):
    seen, todo = set(), [tensor.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [one for one, _ in node.next_functions]
    return len(seen)


def test_the_gradient_does_not_grow_with_the_lengths():
    layer, sizes = elman.nn.GRU(3, 4).double(), []
    for lengths in ([9, 2], list(range(1, 60))):
        _, packed = with_leaf(packed_of(lengths))
        sizes.append(graph_size(elman.nn.pad_packed_sequence(layer(packed)[0])[0]))
    assert sizes[0] == sizes[1]
    # what is kept out
    assert graph_size(pad_with_torch(packed)[0]) > 59


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_transforms_and_second_derivatives(kind):
    layer, packed = getattr(elman.nn, kind)(3, 4).double(), packed_of(LENGTHS["unsorted"])

    def padded(data):
        output = layer(packed._replace(data=data))[0]
        return elman.nn.pad_packed_sequence(output)[0]

    def loss(data):
        return padded(data).square().sum()

    leaf, _ = with_leaf(packed)
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(packed.data), expected)
    both = torch.stack([packed.data, packed.data * 2])
    torch.testing.assert_close(torch.func.vmap(padded)(both)[1], padded(packed.data * 2))
    _, slope = torch.func.jvp(loss, (packed.data,), (packed.data,))
    torch.testing.assert_close(slope, (expected * packed.data).sum())
    assert torch.autograd.gradgradcheck(padded, leaf)


OPTIONS = {
    "plain": {},
    "stacked both ways": {"num_layers": 2, "bidirectional": True},
    "residual": {"num_layers": 3, "residual": True},
    "learned": {"initial_state": "learned", "num_layers": 2},
    "checkpointed": {"bptt": "checkpointed"},
    "clipped": {"gradient_clip": 0.05, "bidirectional": True},
    "zoneout": {"zoneout": 0.2},
    "layer_norm": {"layer_norm": True, "num_layers": 2},
}
ON_THE_REFERENCE = ("zoneout", "layer_norm")


def grown(layer, packed, hx=None):
    """The data, the final states, and every gradient."""
    leaf, with_gradient = with_leaf(packed)
    layer.zero_grad(set_to_none=True)
    output, state = layer(with_gradient, hx)
    states = state if isinstance(state, tuple) else (state,)
    loss = output.data.square().sum() + sum((s * (i + 2)).sum() for i, s in enumerate(states))
    loss.backward()
    # a learned state where another is given gets none, or zeros
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in layer.parameters()]
    return [output.data.detach(), *(s.detach() for s in states), leaf.grad, *grads]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_as_the_reference_runs_them(kind, lengths, options):
    layer = getattr(elman.nn, kind)(3, 4, **OPTIONS[options]).double().eval()
    packed = packed_of(LENGTHS[lengths], lengths == "sorted")
    B = len(LENGTHS[lengths])
    state = tuple(torch.randn(len(layer._names), B, 4).double() for _ in layer.cell.states)
    for hx in (None, state[0] if kind != "LSTM" else state):
        found = grown(layer, packed, hx)
        with elman.ops.only("reference"):
            expected = grown(layer, packed, hx)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


@needs_native
@pytest.mark.parametrize("options", OPTIONS)
def test_nothing_is_padded_where_the_kernels_run(options, monkeypatch):
    def refuse(*_):
        raise AssertionError("padded")

    monkeypatch.setattr("elman.ops._packed.scattered", refuse)
    monkeypatch.setattr("elman.nn._packed.scattered", refuse)
    layer = elman.nn.LSTM(3, 4, **OPTIONS[options]).double()
    packed = packed_of(LENGTHS["unsorted"])
    if options in ON_THE_REFERENCE:
        with pytest.raises(AssertionError, match="padded"):
            layer(packed)
        return
    output, _ = layer(packed)
    output.data.sum().backward()
    with torch.no_grad():
        assert torch.equal(layer(packed)[0].data, output.data)
    with elman.ops.only("reference"), pytest.raises(AssertionError, match="padded"):
        layer(packed)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_without_a_gradient(kind, batch_first, lengths):
    layer = getattr(elman.nn, kind)(3, 4, batch_first=batch_first).double()
    packed = packed_of(LENGTHS[lengths], lengths == "sorted")
    rows = len(LENGTHS[lengths])
    state = tuple(torch.randn(1, rows, 4).double() for _ in layer.cell.states)
    for hx in (None, state if kind == "LSTM" else state[0]):
        expected, after = layer(packed, hx)
        with torch.no_grad():
            found, same = layer(packed, hx)
        for one, other in zip(found, expected, strict=True):
            assert (one is other is None) or torch.equal(one, other)
        torch.testing.assert_close(same, after, rtol=0, atol=0)
        assert isinstance(same, tuple) == (kind == "LSTM")


def test_weights_of_another_kind():
    class Own(torch.Tensor):
        pass

    layer = elman.nn.GRU(3, 4).double()
    packed = packed_of(LENGTHS["unsorted"])
    expected = layer(packed)[0].data
    layer.weight_ih_l0 = torch.nn.Parameter(layer.weight_ih_l0.detach().as_subclass(Own))
    assert torch.equal(layer(packed)[0].data.as_subclass(torch.Tensor), expected)


def test_autocast_and_bfloat16():
    layer, packed = elman.nn.GRU(3, 4), packed_of(LENGTHS["unsorted"]).float()
    expected = layer(packed)[0].data
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(packed)[0].data
        padded, lengths = elman.nn.pad_packed_sequence(packed)
        (same, _) = layer(padded, lengths=lengths)
    assert found.dtype == same.dtype
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.02)
    low = layer.bfloat16()(packed.to(torch.bfloat16))[0].data
    torch.testing.assert_close(low.float(), expected, rtol=0, atol=0.02)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled():
    layer = elman.nn.GRU(3, 4).double()

    def padded(packed):
        return elman.nn.pad_packed_sequence(layer(packed)[0])[0]

    found = torch.compile(padded, backend="eager")
    for packed in (packed_of([4, 1, 6, 4]), packed_of([2, 7])):
        assert torch.equal(found(packed), padded(packed))


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ([2, 3], "batch_sizes are [2, 3]; give numbers above zero that do not rise."),
        ([5, 0], "batch_sizes are [5, 0]; give numbers above zero that do not rise."),
        ([], "batch_sizes are []; give numbers above zero that do not rise."),
        ([3, 1], "batch_sizes sum up to 4, and the data have 5 rows; give as many."),
    ],
)  # fmt: skip
def test_mistakes(sizes, text):
    packed = PackedSequence(torch.randn(5, 3), torch.tensor(sizes, dtype=torch.int64))
    for where, call in (
        ("pad_packed_sequence", elman.nn.pad_packed_sequence),
        ("GRU.forward", elman.nn.GRU(3, 4)),
    ):
        for way in (torch.enable_grad, torch.no_grad):
            with way(), pytest.raises(ValueError, match="batch_sizes") as caught:
                call(packed)
            assert str(caught.value) == f"{where}: {text}"


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        (torch.tensor([3.0, 2.0]), "batch_sizes are torch.float32 of shape (2,); give whole numbers"),
        (torch.tensor([[3, 2]]), "batch_sizes are torch.int64 of shape (1, 2); give whole numbers"),
        (torch.tensor(5), "batch_sizes are torch.int64 of shape (); give whole numbers"),
        (torch.tensor([2**62, 2**62, 5]), "batch_sizes sum up to"),
        (torch.tensor([10**15, 5 - 10**15]), "batch_sizes are [1000000000000000, -999999999999995]"),
    ],
    ids=str,
)  # fmt: skip
def test_sizes_of_another_kind(sizes, text):
    packed = PackedSequence(torch.randn(5, 3), sizes)
    for way in (torch.enable_grad, torch.no_grad):
        with way(), pytest.raises(ValueError, match=r"^GRU\.forward: ") as caught:
            elman.nn.GRU(3, 4)(packed)
        assert text in str(caught.value)


@pytest.mark.parametrize("shape", [(6, 2, 3), (6, 0, 3), (6,)], ids=str)
def test_data_of_other_dimensions(shape):
    packed = PackedSequence(torch.randn(shape), torch.tensor([3, 2, 1]))
    for way in (torch.enable_grad, torch.no_grad):
        with way(), pytest.raises(ValueError, match=r"^GRU.forward: the data of the") as caught:
            elman.nn.GRU(3, 4)(packed)
        assert str(caught.value).endswith(f"(shape {shape}), expected (N, 3).")


def test_sizes_that_do_not_stand_in_a_row():
    x, layer = torch.randn(6, 3), elman.nn.GRU(3, 4)
    for sizes in (torch.tensor([2]).expand(3), torch.tensor([3, 9, 2, 9, 1])[::2]):
        expected, _ = layer(PackedSequence(x, sizes.contiguous()))
        for way in (torch.enable_grad, torch.no_grad):
            with way():
                assert torch.equal(layer(PackedSequence(x, sizes))[0].data, expected.data)


def test_too_few_steps():
    with pytest.raises(ValueError, match="total_length=5 is less than the 6 steps of the longest"):
        elman.nn.pad_packed_sequence(packed_of(LENGTHS["unsorted"]), total_length=5)
