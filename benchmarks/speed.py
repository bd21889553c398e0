"""Speed against torch.nn, torch.compile, ONNX Runtime and JAX, side by side.

    make bench            # the whole grid, one and two threads (an hour and more)
    make bench-quick      # a subset in under three minutes

Every row runs its contenders in turn, round after round, in one process that may use as many
processors as it has threads; a ratio is the median over the rounds of the peer's time by Elman's.
The process is the row's own, as a program trains one network: behind larger ones torch's allocator
keeps its pages, and its LSTM of 40 units trains in almost half the time. torch.nn's is without JAX
and ONNX Runtime. The same rounds measure what a large matrix product reaches, from which the row's
physical limit follows.
What is not numerically equal is not timed. A row is kept as soon as it is measured. Writes
`speed.json`, `speed.md` and `speed.png` into the folder of this processor in `results/speed`, and
the table of the README, unless `--quick`. ONNX Runtime and JAX: `pip install elman[bench]`.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from _documents import put_in
from _report import CELLS, SUITES, Row, folder_name, keep, machine, print_row, summary, write_report

RESULTS = Path(__file__).parent / "results"
SPEED = RESULTS / "speed"
# one contender's part of a round, seconds
PART = 0.03
PAUSE = 0.03
# seconds for the rounds of one row, as long as there are three
MOST = 5.0
STREAM = (24, 64, 128, 256)
# those that share a process with Elman
COMPANIES = (
    ("torch.nn", "elman, padded", "elman, packed"),
    ("torch.compile", "onnxruntime", "jax"),
)


def sizes(suite: str, quick: bool) -> list[Any]:
    """The grid of a suite."""
    from _problem import Size

    dense = [
        Size(128, 1, 64, 64),
        Size(128, 1, 256, 256),
        Size(256, 16, 32, 32),
        Size(200, 64, 40, 40),
        Size(200, 64, 40, 40, layers=2, note="DeepAR"),
        Size(128, 32, 128, 128),
        Size(128, 32, 256, 256),
        Size(64, 64, 512, 512),
        Size(365, 256, 32, 256, note="hydrology"),
        Size(35, 20, 650, 650),
        Size(50, 50, 65, 256, note="characters"),
        Size(784, 100, 1, 128, note="sequential MNIST"),
    ]
    ragged = [
        Size(128, 32, 256, 256, lengths="ragged"),
        Size(200, 64, 40, 40, lengths="ragged"),
        Size(365, 256, 32, 256, lengths="ragged", note="hydrology"),
        Size(128, 32, 256, 256, lengths="one shorter"),
        Size(200, 64, 40, 40, lengths="one shorter"),
    ]
    stream = [Size(1, 1, H, H) for H in STREAM]
    loop = [
        Size(20, B, H, H, note="loop over a cell")
        for B, H in ((1, 64), (1, 512), (16, 64), (32, 128), (32, 256))
    ]
    stack = [
        Size(1, 1, 24, 24, layers=2, note="a step"),
        Size(20, 1, 32, 32, layers=2),
        Size(20, 1, 32, 32, layers=2, directions=2),
        Size(128, 32, 128, 128, layers=2, directions=2),
    ]
    projection = [
        Size(100, 32, 80, 512, projection=256, note="speech"),
        Size(100, 32, 80, 512, projection=256, dtype="bfloat16", note="speech"),
        Size(4, 16, 512, 300, projection=150, dtype="bfloat16"),
    ]
    far = [
        Size(2, 1, 1024, 1024),
        Size(2, 16, 512, 512),
        Size(4, 16, 1024, 1024),
        Size(60, 16, 1024, 1024),
        Size(60, 16, 1024, 1024, dtype="bfloat16"),
    ]
    if quick:
        dense, ragged, stream = dense[:1] + dense[3:4] + dense[5:6], ragged[1:2], stream[1:3]
    # the sizes from which on a processor's own tiles of bfloat16 are worth something
    wide = [size for size in dense if size.H >= 128] + [Size(1, 16, 512, 512, note="a step")]
    low = [replace(size, dtype="bfloat16") for size in wide]
    grid = {
        "dense": dense,
        "ragged": ragged,
        "bfloat16": low,
        "projection": projection,
        "far": far,
        "stack": stack,
        "step": stream,
        "loop": loop,
    }
    return grid[suite]


def timed(run: Callable[[], Any], times: int) -> float:
    """Seconds of one call. Before many a first one is not timed: what stood in the caches is the
    last contender's, and the one behind the pause would pay for all.
    """
    if times > 1:
        run()
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def measure(runs: dict[str, Callable[[], Any]], rounds: int, dtype: Any) -> list[dict[str, float]]:
    """The seconds of one call of each contender in each round, and the peak of the machine in
    numbers of a type.
    """
    import torch

    a, b = torch.randn(1024, 1024).to(dtype), torch.randn(1024, 1024).to(dtype)
    # they have run once already, for the comparison
    times = {name: max(1, int(PART / timed(run, 1))) for name, run in runs.items()}
    found: list[dict[str, float]] = []
    start = time.perf_counter()
    while len(found) < rounds and (len(found) < 3 or time.perf_counter() - start < MOST):
        # what a peer's threads still have to do is not to disturb the next round
        time.sleep(PAUSE)
        one = {"peak": 2 * 1024**3 / timed(lambda: torch.mm(a, b), 2)}
        one |= {name: timed(run, times[name]) for name, run in runs.items()}
        found.append(one)
    return found


def rows_of(suite: str, cell: str, size: Any, threads: int, options: Any) -> list[Row]:
    """Measures one size: forward alone, and with its gradients."""
    import torch
    from _contenders import check_equal, contenders
    from _loop import loops
    from _problem import Problem
    from _stream import steppers

    rows: list[Row] = []
    problem = Problem(cell, size, threads)
    for train in (False,) if suite == "step" else (False, True):
        if suite == "step":
            runs = steppers(problem, options.peers)
        else:
            runs_of = loops if suite == "loop" else contenders
            runs = runs_of(problem, train, options.peers)
            with torch.set_grad_enabled(train):
                check_equal(problem, runs, train)
        if len(runs) == 1:
            # none of these peers can run it
            continue
        with torch.set_grad_enabled(train):
            rounds = measure(runs, options.rounds, problem.input.dtype)
        peak = median(one["peak"] for one in rounds)
        ours = median(one["elman"] for one in rounds)
        limit, holds = problem.limit(train, peak)
        row = Row(
            suite=suite,
            cell=cell,
            size=str(size),
            note=size.note,
            threads=threads,
            train=train,
            ms=ours * 1e3,
            faster_than={
                name: median(one[name] / one["elman"] for one in rounds)
                for name in runs
                if name != "elman"
            },
            of_limit=limit / ours,
            held_by=holds,
            of_peak=problem.products(train) / ours / peak,
            peak_gflops=peak / 1e9,
        )
        print_row(row)
        rows.append(row)
    return rows


def work(options: argparse.Namespace) -> None:
    """Everything at one number of threads; each row is kept as soon as it is known."""
    import torch

    def note(rows: list[Row]) -> None:
        if options.out is not None:
            keep(rows, options.out)

    threads = options.threads[0]
    torch.set_num_threads(threads)
    for suite in options.suites:
        if suite == "memory":
            from _memory import memory_rows

            grid = sizes("dense", options.quick) + sizes("ragged", options.quick)
            grid = [size for size in grid if options.only in str(size)]
            note(memory_rows(options.cells, grid) if threads == 1 else [])
            continue
        for cell in options.cells:
            for size in sizes(suite, options.quick):
                if _is_asked(size, cell, options) and options.row in ("", str(size)):
                    note(rows_of(suite, cell, size, threads, options))


def main() -> None:
    """Runs processes for each number of threads, and writes what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="three sizes, torch.nn alone, one thread")
    add("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    add("--suites", nargs="+", default=list(SUITES), choices=list(SUITES))
    add("--threads", nargs="+", type=int, default=[1, 2])
    add("--peers", nargs="+", default=None, help="torch.nn, torch.compile, onnxruntime, jax")
    add("--rounds", type=int, default=None)
    add("--only", default="", help="sizes whose text holds this")
    add("--out", type=Path, default=None, help="the folder to write to")
    add("--here", action="store_true", help=argparse.SUPPRESS)
    add("--row", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    if options.quick:
        options.threads, options.suites = [1], ["dense", "ragged", "step"]
    if options.peers is None:
        options.peers = [name for names in COMPANIES[: 1 if options.quick else 2] for name in names]
    if options.out is None and not options.quick:
        options.out = SPEED / folder_name(machine())
    if options.here:
        work(options)
        return
    for threads in options.threads:
        for names in COMPANIES:
            peers = [name for name in options.peers if name in names]
            for words in _parts(options, peers) if peers else []:
                _in_process(threads, ["--peers", *peers, *words])
    if options.out is not None:
        write_report(options.out)
        if options.out.parent == SPEED:
            table = summary(sorted(path.parent for path in SPEED.glob("*/speed.json")))
            (RESULTS / "summary.md").write_text(table)
            put_in("README.md", "speed", table)


def _parts(options: argparse.Namespace, peers: list[str]) -> Generator[list[str]]:
    """What each process is told: a row at a time, unless `--quick`."""
    if options.quick:
        yield ["--suites", *options.suites]
        return
    for suite in options.suites:
        if suite == "memory":
            if "torch.nn" in peers:
                yield ["--suites", suite]
            continue
        for cell in options.cells:
            for size in sizes(suite, options.quick):
                if _is_asked(size, cell, options):
                    yield ["--suites", suite, "--cells", cell, "--row", str(size)]


def _is_asked(size: Any, cell: str, options: argparse.Namespace) -> bool:
    """Whether a size is one that the options name, and the cell has it."""
    return options.only in str(size) and (cell == "LSTM" or not size.projection)


def _in_process(threads: int, words: list[str]) -> None:
    """Calls this program for one number of threads, on as many processors."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    allowed = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_getaffinity") else []
    words = ["--here", "--threads", str(threads), *words]
    subprocess.run(
        [sys.executable, *sys.argv, *words],
        check=True,
        env=environment,
        preexec_fn=(lambda: os.sched_setaffinity(0, allowed)) if allowed else None,
    )


if __name__ == "__main__":
    main()
