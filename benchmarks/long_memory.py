"""Which recurrent networks learn what lies far back, and whether their gradients told it early.

    make long-memory ELMAN_DATA=folder

Every run trains a network on a problem whose answer lies a known number of steps back, with the
gradient probed as it goes; what the probes of the first tenth say (it arrives, or it does not) is
compared with the outcome (solved, or not). Writes `results/long_memory.json` after every run, skips
the runs that are there, goes on with one that was cut off, and writes `results/long_memory.md` and
the table of `docs/gradients.md`.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from _documents import put_in
from _long_memory_problems import (
    Data,
    Network,
    Objective,
    Problem,
    adding,
    copy_memory,
    figure_of,
    layer_of,
    mnist,
)
from _long_memory_table import table

from elman.train import Checkup, Diverged, Run, TrainOptions, fit

HERE = Path(__file__).parent
FOUND = HERE / "results" / "long_memory.json"
RUNS = HERE.parent / "runs" / "long-memory"
_SIMPLE = ("RNN", "RNN, remedy", "IRNN", "orthogonal RNN")
_GATED = ("GRU", "LSTM", "LSTM, chrono")
_HIDDEN = 128

Asked = tuple[Problem, str, int]


def plan() -> list[Asked]:
    """The runs: problem, network, seed."""
    runs: list[Asked] = []
    near, far = adding(100, 4000), adding(200, 6000)
    # the remedy within the budget in which the network fails by default
    runs += [(far, name, seed) for seed in range(5) for name in ("RNN", "RNN, remedy")]
    runs += [(near, name, seed) for seed in range(5) for name in (*_SIMPLE, *_GATED)]
    runs += [(far, name, seed) for seed in range(5) for name in ("IRNN", "orthogonal RNN", "GRU")]
    runs += [(far, name, 0) for name in ("LSTM", "LSTM, chrono")]
    long = adding(600, 7000, 2e-3)
    runs += [(long, "GRU", 0)]
    runs += [(copy_memory(100, 8000), name, 0) for name in (*_SIMPLE, *_GATED)]
    runs += [(adding(400, 4000), name, 0) for name in (*_SIMPLE, "GRU", "LSTM")]
    runs += [(adding(400, 6000), "LSTM, chrono", 0)]
    runs += [(long, name, 0) for name in ("RNN", "LSTM")]
    runs += [(copy_memory(500, 1500), name, 0) for name in ("RNN", "GRU", "LSTM, chrono")]
    runs += [(copy_memory(1000, 1000), name, 0) for name in ("RNN", "GRU", "LSTM, chrono")]
    # ten epochs, as the published figures have them
    digits, permuted = mnist(False, 6000), mnist(True, 6000)
    runs += [(digits, name, 0) for name in ("GRU, chrono", "RNN")]
    runs += [(permuted, name, 0) for name in ("RNN", "GRU")]
    # at the others' learning rate a ReLU explodes in the first steps
    runs += [(mnist(is_permuted, 6000, 1e-4), "IRNN", 0) for is_permuted in (False, True)]
    runs += [
        (problem, name, 0)
        for name in ("LSTM", "orthogonal RNN", "RNN, remedy")
        for problem in (digits, permuted)
    ]
    return [*runs, (digits, "LSTM, chrono", 0)]


def run_one(problem: Problem, name: str, seed: int, folder: Path | None) -> dict[str, Any]:
    """Trains one network; what was seen, and how it ended."""
    torch.manual_seed(seed)
    data = Data(problem, seed, folder)
    needed = data.needed()
    network = Network(layer_of(name, data.inputs, _HIDDEN, needed), problem)
    shown, _ = data.batch(32, 1, held=True)
    options = TrainOptions(
        epochs=1, lr=problem.lr, remedy="auto" if name.endswith("remedy") else "none", watch=True,
        device="cpu", keep_best=False,
    )  # fmt: skip
    checkup = Checkup(lambda: network(shown), needed=needed, carried=problem.carried)
    named = f"{problem.title}-{name}-{seed}-{problem.budget}".replace(" ", "-").replace(",", "")
    kept = Run.start(RUNS / named, task="long memory", params=vars(options), data={})
    before, diverged = time.perf_counter(), False
    try:
        history = fit(Objective(network, problem), data, options=options, checkup=checkup, run=kept)
    except Diverged as error:
        history, diverged = error.history, True
    looks = [one for one in history.records if "diagnosis" in one]
    told = ("step", "diagnosis", "reach", "rate", "width")
    probes = [[one.get(key) for key in told] for one in looks]
    if diverged:
        probes.append([history.steps, "exploding", None, None, None])
    changed = [one["remedy"] for one in history.records if "remedy" in one]
    seconds = time.perf_counter() - before
    figure = figure_of(network.eval(), data)
    return {
        "problem": problem.title, "network": name, "seed": seed, "budget": problem.budget,
        "chance": problem.chance, "figure": figure, "solved": problem.is_solved(figure),
        "needed": needed, "carried": problem.carried, "diverged": diverged, "seconds": seconds,
        "changed": changed, "probes": probes,
    }  # fmt: skip


def main() -> None:
    """Runs what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="runs whose name has this in it")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--part", default="0/1", help="i/n: every n-th run, from the i-th")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    given = os.environ.get("ELMAN_DATA")
    folder = None if given is None else Path(given) / "mnist"
    part, parts = map(int, asked.part.split("/"))
    chosen = [one for one in plan() if asked.only in f"{one[0].title}, {one[1]}, {one[2]}"]
    for problem, name, seed in chosen[part::parts]:
        known = json.loads(FOUND.read_text()) if FOUND.is_file() else []
        if any(
            (r["problem"], r["network"], r["seed"]) == (problem.title, name, seed) for r in known
        ):
            continue
        if problem.is_mnist and folder is None:
            print(f"{problem.title}: left out, ELMAN_DATA names no folder")
            continue
        found = run_one(problem, name, seed, folder)
        print({k: v for k, v in found.items() if k != "probes"}, flush=True)
        known = json.loads(FOUND.read_text()) if FOUND.is_file() else []
        FOUND.write_text(json.dumps([*known, found], indent=1) + "\n")
    known = json.loads(FOUND.read_text())
    told = table(known)
    (HERE / "results" / "long_memory.md").write_text(told)
    put_in("docs/gradients.md", "long-memory", told)


if __name__ == "__main__":
    main()
