"""Peak memory of training, each in a process of its own."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from _report import Row, print_row

# training steps before the peak is read
STEPS = 2


def memory_rows(cells: list[str], grid: list[Any]) -> list[Row]:
    """How many megabytes a training step adds, torch.nn's beside ours."""
    rows: list[Row] = []
    for cell in cells:
        for size in grid:
            used = {one: _measured(one, cell, size) for one in ("ours", "theirs")}
            ratio = {"torch.nn": used["theirs"] / max(used["ours"], 0.1)}
            row = Row("memory", cell, str(size), size.note, 1, True, used["ours"], ratio)
            print_row(row)
            rows.append(row)
    return rows


def _measured(which: str, cell: str, size: Any) -> float:
    words = [sys.executable, __file__, which, cell, json.dumps(vars(size))]
    return float(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def peak() -> float:
    """The peak of this process so far, in megabytes."""
    # Linux hands the peak of the process that started this one on in getrusage
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = (one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _main() -> None:
    import torch
    from _contenders import contenders
    from _problem import Problem, Size

    torch.set_num_threads(1)
    which, cell, text = sys.argv[1:]
    # libraries are loaded and first touched at a small size
    small = Problem(cell, Size(4, 2, 8, 8), 1)
    for run in contenders(small, True, ["torch.nn"]).values():
        run()
    problem = Problem(cell, Size(**json.loads(text)), 1)
    run = contenders(problem, True, ["torch.nn"])["elman" if which == "ours" else "torch.nn"]
    before = peak()
    for _ in range(STEPS):
        run()
    print(peak() - before)


if __name__ == "__main__":
    _main()
