"""One backend for everything that leaves the choice open."""

from threading import Event, Thread

import pytest
import torch
from tolerances import assert_close

import elman
from elman.kernels import cpu


def _backend(layer):
    return elman.explain(layer, torch.randn(5, 2, 3)).choices[0].backend


def test_it_holds_for_open_choices_and_ends():
    layer, forced = elman.nn.LSTM(3, 4), elman.nn.LSTM(3, 4, backend="torch")
    before = _backend(layer)
    with elman.ops.only("reference"):
        assert _backend(layer) == "reference"
        assert _backend(forced) == "torch"
        with elman.ops.only("torch"):
            assert _backend(layer) == "torch"
        assert _backend(layer) == "reference"
    assert _backend(layer) == before


def test_other_threads_have_their_own():
    layer, inside, done = elman.nn.LSTM(3, 4), Event(), Event()
    before = _backend(layer)

    def force():
        with elman.ops.only("reference"):
            inside.set()
            done.wait(10)

    thread = Thread(target=force)
    thread.start()
    inside.wait(10)
    try:
        assert _backend(layer) == before
        with elman.ops.only("torch"):
            assert _backend(layer) == "torch"
    finally:
        done.set()
        thread.join()


def test_a_compiled_layer_knows_it():
    layer, x, graphs = elman.nn.GRU(3, 4), torch.randn(5, 2, 3), []

    def note(graph, inputs):
        graphs.append(graph.code)
        return graph

    compiled = torch.compile(lambda x: layer(x)[0], backend=note, fullgraph=True)
    with elman.ops.only("reference"):
        assert_close(compiled(x), layer(x)[0])
    assert_close(compiled(x), layer(x)[0])
    assert ["elman.scan" in code for code in graphs] == [False, cpu.is_built()]


def test_what_it_cannot_run_is_an_error():
    layer = elman.nn.GRU(3, 4, reset_gate="before")
    with (
        elman.ops.only("torch"),
        pytest.raises(elman.ops.BackendError, match="torch's GRU has its reset gate"),
    ):
        layer(torch.randn(5, 2, 3))
    with pytest.raises(ValueError, match="backend='fast' is not known"), elman.ops.only("fast"):
        pass


def test_the_numbers_are_those_of_the_reference():
    layer, x = elman.nn.GRU(3, 4), torch.randn(5, 2, 3)
    with torch.no_grad(), elman.ops.only("reference"):
        expected = layer(x)[0]
    layer.backend = "reference"
    assert torch.equal(layer(x)[0], expected)
