"""A loop of one's own over a cell: RNNCell, GRUCell, LSTMCell beside torch's."""

from collections.abc import Callable
from typing import Any

import torch
from _contenders import runner
from _problem import Problem
from torch import Tensor

import elman


def loops(problem: Problem, train: bool, peers: list[str]) -> dict[str, Callable[[], Any]]:
    """The loop over the steps with our cell and with torch's, of the same weights.

    Args:
        problem: the row, of one layer.
        train: forward and backward, or forward alone.
        peers: torch.nn or nobody.
    """
    modules: dict[str, Any] = {"elman": elman.nn}
    if "torch.nn" in peers:
        modules["torch.nn"] = torch.nn
    runs: dict[str, Callable[[], Any]] = {}
    for name, module in modules.items():
        cell = getattr(module, f"{problem.cell}Cell")(problem.size.I, problem.size.H)
        weights = problem.theirs.state_dict()
        cell.load_state_dict({key.removesuffix("_l0"): value for key, value in weights.items()})
        runs[name] = runner(problem, cell, _over(cell), train)
    return runs


def _over(cell: Any) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        state, outputs = None, []
        for x_t in x:
            state = cell(x_t, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs)

    return forward
