"""What watching the gradient costs, and what checkpointing saves.

    make bench-gradient       # about thirteen minutes

Watching: training steps of the grid with and without `elman.diagnostics.watch`, in turn, round
after round, on one thread; median ratio and difference, and of these the median over three
processes, since where its memory lies is a process's own. Checkpointing: one sequence of 1,000,000
steps (LSTM, I = 1, H = 64, B = 1, loss at the end), a training step each in a process of its own.
Writes `gradient_flow.json` and `gradient_flow.md` into the folder of this processor in
`results/gradient_flow`, `results/long_sequence.md`, and the table of `docs/gradients.md`; with
`ELMAN_CPU=avx2` the first two alone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from _documents import put_in
from _memory import peak
from _report import folder_name, machine
from speed import sizes

import elman

RESULTS = Path(__file__).parent / "results"
_CELLS = {"RNN": elman.nn.RNN, "GRU": elman.nn.GRU, "LSTM": elman.nn.LSTM}
# seconds of a part of a round, and of all rounds of a process at least; rounds at least; processes
_PART, _SECONDS, _ROUNDS, _PROCESSES = 0.02, 2, 11, 3
_MOST_RATIO, _MOST_MICROSECONDS = 1.03, 20
_STEPS, _HIDDEN = 1_000_000, 64


def in_own_process(*words: str) -> dict[str, Any]:
    """What this program prints when it is asked for one row."""
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def watch_row(cell: str, number: int, size: Any) -> dict[str, Any]:
    """The medians over processes of a training step with and without a watch."""
    found = [in_own_process("--watch", cell, str(number)) for _ in range(_PROCESSES)]
    names = ("microseconds", "ratio", "more_microseconds")
    row = {name: median(one[name] for one in found) for name in names}
    within = row["ratio"] <= _MOST_RATIO or row["more_microseconds"] <= _MOST_MICROSECONDS
    ratios = [one["ratio"] for one in found]
    return {"cell": cell, "size": str(size), **row, "ratios": ratios, "within": within}


def watch_once(cell: str, size: Any) -> dict[str, float]:
    """A training step on our kernels with and without a watch, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = _CELLS[cell](size.I, size.H, size.layers, backend="cpu")
    x = torch.randn(size.T, size.B, size.I)
    weight = torch.randn(size.T, size.B, size.H)

    def step() -> None:
        output, _ = layer(x)
        output.backward(weight)

    def timed(many: int) -> float:
        before = time.perf_counter()
        for _ in range(many):
            step()
        return (time.perf_counter() - before) / many

    step_time = timed(3)
    many = max(1, int(_PART / step_time))
    plain, watched = [], []
    for _ in range(max(_ROUNDS, int(_SECONDS / (2 * many * step_time)))):
        plain.append(timed(many))
        with elman.diagnostics.watch(layer):
            watched.append(timed(many))
    pairs = list(zip(plain, watched, strict=True))
    return {
        "microseconds": 1e6 * median(plain),
        "ratio": median(w / p for p, w in pairs),
        "more_microseconds": 1e6 * median(w - p for p, w in pairs),
    }


def train_long(bptt: str) -> dict[str, Any]:
    """Time and peak memory of the second training step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = elman.nn.LSTM(1, _HIDDEN, bptt=bptt, backend="cpu")
    x = torch.randn(_STEPS, 1, 1)
    seconds, loss = [], torch.zeros(())
    for _ in range(3):
        layer.zero_grad()
        before = time.perf_counter()
        output, _ = layer(x)
        loss = output[-1].square().sum()
        loss.backward()
        seconds.append(time.perf_counter() - before)
    digest = sum(float(p.grad.double().sum()) for p in layer.parameters() if p.grad is not None)
    return {
        "bptt": bptt, "seconds": min(seconds), "peak_gigabytes": peak() / 1024,
        "loss": float(loss.detach()), "gradients": digest,
    }  # fmt: skip


def report(found: dict[str, Any]) -> str:
    """The tables."""
    lines = ["| (T, B, I, H) | cell | training step, us | watched | more, us |"]
    lines.append("| --- | --- | --- | --- | --- |")
    lines += [
        f"| {r['size']} | {r['cell']} | {r['microseconds']:,.0f} | {r['ratio']:.3f}"
        f" | {r['more_microseconds']:.0f} |"
        for r in found["watch"]
    ]
    return "\n".join(lines) + "\n"


def long_report(found: dict[str, Any]) -> str:
    """The table of the long sequence."""
    lines = ["| 1,000,000 steps | seconds | peak, GB |", "| --- | --- | --- |"]
    lines += [
        f"| {r['bptt']} | {r['seconds']:.2f} | {r['peak_gigabytes']:.2f} |" for r in found["long"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--long", choices=("full", "checkpointed"), help="this row alone")
    parser.add_argument("--watch", nargs=2, metavar=("CELL", "SIZE"), help="this row alone, once")
    asked = parser.parse_args()
    grid = sizes("dense", quick=False)
    if asked.long:
        print(json.dumps(train_long(asked.long)))
        return
    if asked.watch:
        cell, number = asked.watch
        print(json.dumps(watch_once(cell, grid[int(number)])))
        return
    found: dict[str, Any] = {"watch": [], "long": []}
    for number, size in enumerate(grid):
        for cell in _CELLS:
            found["watch"].append(watch_row(cell, number, size))
            print(found["watch"][-1], flush=True)
    print(sum(one["within"] for one in found["watch"]), "of", len(found["watch"]), "rows within")
    for bptt in ("full", "checkpointed"):
        found["long"].append(in_own_process("--long", bptt))
        print(found["long"][-1], flush=True)
    full, half = found["long"]
    if (full["loss"], full["gradients"]) != (half["loss"], half["gradients"]):
        sys.exit("the checkpointed pass differs from the full one")
    folder = RESULTS / "gradient_flow" / folder_name(machine())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gradient_flow.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "gradient_flow.md").write_text(report(found))
    if os.environ.get("ELMAN_CPU"):
        return
    (RESULTS / "long_sequence.md").write_text(long_report(found))
    put_in("docs/gradients.md", "long", long_report(found))


if __name__ == "__main__":
    main()
