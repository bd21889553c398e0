"""Single steps, as a stream asks for them: the caller's buffers, one sequence."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from _contenders import onnx_session
from _problem import Problem


def steppers(problem: Problem, peers: list[str]) -> dict[str, Callable[[], Any]]:
    """One step of each contender, from a state of zeros on."""
    layer, x = problem.ours.eval(), problem.input[0]
    stepper, y = layer.stepper(), torch.empty(1, problem.size.H)
    if not _equal(problem, stepper(x, out=y)):
        raise ValueError(f"{problem.cell} {problem.size}: the stepper gives something else.")
    stepper.reset()
    runs: dict[str, Callable[[], Any]] = {
        "elman": stepper.bind(x, y),
        "stepper(x, out=y)": partial(stepper, x, out=y),
        "layer.step(x)": partial(layer.step, x),
    }
    if "torch.nn" in peers:
        runs["torch.nn"] = partial(problem.theirs, problem.input)
    if "onnxruntime" in peers:
        runs |= _bound(problem)
    return runs


def _bound(problem: Problem) -> dict[str, Callable[[], Any]]:
    """ONNX Runtime with bound buffers: nothing is allocated in a step."""
    try:
        session = onnx_session(problem)
    except ImportError:
        return {}
    runtime = importlib.import_module("onnxruntime")
    binding, H = session.io_binding(), problem.size.H
    names = ("h", "c") if problem.cell == "LSTM" else ("h",)

    def value(tensor: Any) -> Any:
        return runtime.OrtValue.ortvalue_from_numpy(tensor.numpy())

    y = value(torch.zeros(1, 1, H))
    binding.bind_ortvalue_input("x", value(problem.input))
    binding.bind_ortvalue_output("y", y)
    for name in names:
        binding.bind_ortvalue_input(name, value(torch.zeros(1, 1, H)))
        binding.bind_ortvalue_output(f"{name}_after", value(torch.zeros(1, 1, H)))

    def run() -> None:
        session.run_with_iobinding(binding)

    run()
    return {"onnxruntime": run} if _equal(problem, torch.from_numpy(y.numpy())[0]) else {}


def _equal(problem: Problem, y: torch.Tensor) -> bool:
    with torch.no_grad():
        expected = problem.theirs(problem.input)[0][0]
    return torch.allclose(y, expected, atol=1e-4)
