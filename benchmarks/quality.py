"""Quality on real data beside published figures.

    make quality ELMAN_DATA=folder
    python benchmarks/quality.py --task trec --task sst2 --seeds 1

Every problem is made of `elman` commands as a user gives them. The runs are kept in `runs/quality`,
so that a second call goes on where the first was cut off. Writes `results/quality.json` beside this
file and, from it, `docs/results.md` and the table in the README.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _documents import put_in
from _quality_problem import Problem
from _quality_problems import PROBLEMS

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "quality"
REPORT = HERE / "results" / "quality.json"
ELMAN = str(Path(sys.executable).with_name("elman"))


def measure(name: str, problem: Problem, data: Path, seed: int) -> dict[str, Any]:
    """Runs a problem's commands with a seed, and gives what they said."""
    trained = problem.trained_by or name
    folder = RUNS / "data" / trained
    if not folder.exists():
        temporary = folder.with_name(folder.name + ".making")
        temporary.mkdir(parents=True, exist_ok=True)
        problem.prepare(data, temporary)
        temporary.rename(folder)
    run, said = RUNS / f"{trained}-{seed}", dict[str, Any]()
    seconds = processor = 0.0
    for command in problem.commands:
        words = shlex.split(command.format(data=folder, run=run, seed=seed))
        print("$ elman", command.format(data="DATA", run=run.name, seed=seed), flush=True)
        start, used = time.perf_counter(), processor_seconds()
        done = subprocess.run([ELMAN, *words, "--json"], stdout=subprocess.PIPE, check=True)
        if words[0] == "train":
            seconds += time.perf_counter() - start
            processor += processor_seconds() - used
        said = json.loads(done.stdout)
    return {
        "value": said[problem.figure],
        "seconds": round(seconds),
        "processor": round(processor),
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "parameters": parameters(run),
        # without where the run lies
        "figures": {
            key: one
            for key, one in said.items()
            if isinstance(one, int | float | str) and key != "run"
        },
    }


def processor_seconds() -> float:
    """What the commands have used of the processor so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parameters(run: Path) -> int:
    """The numbers in a run's weights; what two layers share counts once."""
    import elman

    return sum(p.numel() for p in elman.load(run).module_.parameters())


def spread(values: list[float]) -> str:
    """Their mean and standard deviation."""
    mean = f"{statistics.mean(values):.4g}"
    return f"{mean} ± {statistics.pstdev(values):.2g}" if len(values) > 1 else mean


def time_of(one: dict[str, Any]) -> float:
    """Seconds of a training: of one thread the processor's, as others may run beside it."""
    return one.get("processor", one["seconds"]) if one["threads"] == 1 else one["seconds"]


def row(name: str, problem: Problem, seeds: dict[str, Any]) -> list[str]:
    """A row of the table."""
    values = [one["value"] * problem.scale for one in seeds.values()]
    ours = f"**{spread(values)}** ({len(values)})"
    if problem.beside is not None:
        figure, shown = problem.beside
        found = [one["figures"][figure] for one in seeds.values() if figure in one["figures"]]
        ours += f"; {spread(found)} ({shown})" if found else ""
    least = "≤" if problem.lower else "≥"
    first = next(iter(seeds.values()))
    minutes = statistics.mean(map(time_of, seeds.values())) / 60
    threads = sorted({one["threads"] for one in seeds.values()})
    return [
        f"{problem.data} ([how](#{name}))",
        problem.model,
        f"{first['parameters'] / 1e6:.2f}",
        problem.shown,
        ours,
        f"{least} {problem.needed:g}{'' if is_met(problem, seeds) else ', missed'}",
        problem.published,
        f"{minutes:.1f} on {'/'.join(map(str, threads))}",
    ]


def document(report: dict[str, Any]) -> str:
    """The whole table, and how each row is made again."""
    lines = [
        "# Results on public data",
        "",
        "Written by `make quality ELMAN_DATA=folder` (`benchmarks/quality.py`); no figure is put in"
        " by hand.",
        "Plain recurrent networks, no vectors from elsewhere; settings were chosen on validation"
        " data only. Our figure is the",
        "mean ± standard deviation over the seeds whose number follows it; the time is a seed's"
        " training, on so many threads",
        "(on one thread: of the processor).",
        "",
        "| data | model | million weights | figure | ours | aim | published | minutes |",
        "| --- | --- | ---: | --- | --- | --- | --- | --- |",
    ]
    kept = {name: PROBLEMS[name] for name in PROBLEMS if name in report}
    lines += ["| " + " | ".join(row(name, one, report[name])) + " |" for name, one in kept.items()]
    lines += ["", "## The commands", ""]
    for name, one in kept.items():
        lines += [f"### {name}", "", f"Split: {one.split}.", *signature(one, report[name])]
        if one.missed and not is_met(one, report[name]):
            lines += [f"The aim is missed: {one.missed}."]
        lines += ["", "```text"]
        trained = one.trained_by or name
        places = {"data": f"data/{trained}", "run": f"runs/{trained}", "seed": 0}
        lines += [f"elman {command.format(**places)}" for command in one.commands]
        lines += ["```", ""]
    lines += ["`--task NAME` makes the files that they read in `runs/quality/data`."]
    return "\n".join(lines) + "\n"


def is_met(problem: Problem, seeds: dict[str, Any]) -> bool:
    """Whether the mean over the seeds is as good as needed."""
    return problem.is_reached(statistics.mean(one["value"] for one in seeds.values()))


def signature(problem: Problem, seeds: dict[str, Any]) -> list[str]:
    """What makes the figure beside comparable, if it has a signature."""
    if problem.beside is None:
        return []
    key = f"{problem.beside[0]}_signature"
    found = {one["figures"][key] for one in seeds.values() if key in one["figures"]}
    return [f"Signature of {problem.beside[1]}: `{one}`." for one in sorted(found)]


def summary(report: dict[str, Any]) -> str:
    """The table of the README."""
    lines = ["| data | figure | ours | published |", "| --- | --- | --- | --- |"]
    for name, problem in PROBLEMS.items():
        if name in report:
            cells = row(name, problem, report[name])
            lines.append(f"| {problem.data} | {cells[3]} | {cells[4]} | {cells[6]} |")
    return "\n".join(lines) + "\n"


def write(report: dict[str, Any]) -> None:
    """Writes the figures and what is made of them."""
    REPORT.write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    (HERE.parent / "docs" / "results.md").write_text(document(report))
    table = summary(report)
    (HERE / "results" / "quality.md").write_text(table)
    put_in("README.md", "quality", table)


def main() -> None:
    """Measures the problems that were named, or all, and writes what they gave."""
    parser = argparse.ArgumentParser(description="quality on real data")
    parser.add_argument("--task", action="append", choices=PROBLEMS, help="a problem; all without")
    parser.add_argument("--seeds", type=int, help="seeds to run, instead of the problem's own")
    parser.add_argument("--seed", action="append", type=int, help="a seed, instead of the first")
    parser.add_argument("--write", action="store_true", help="write the table, measure nothing")
    asked = parser.parse_args()
    if not asked.write:
        folder = os.environ.get("ELMAN_DATA")
        if folder is None or not Path(folder).is_dir():
            sys.exit("quality: ELMAN_DATA names no folder of data sets; give ELMAN_DATA=folder.")
        for name in asked.task or PROBLEMS:
            for seed in asked.seed or range(asked.seeds or PROBLEMS[name].seeds):
                found = measure(name, PROBLEMS[name], Path(folder), seed)
                print(f"{name} seed {seed}: {found['value']:.5g}", flush=True)
                # another process may have measured something else meanwhile
                report = read()
                kept = report.setdefault(name, {})
                trained = report.get(PROBLEMS[name].trained_by or name, {})
                known = trained.get(str(seed), found)
                if found["seconds"] < 1 + known["seconds"] / 10:
                    # a finished run was only opened again: its time is known
                    found |= {key: known[key] for key in ("seconds", "processor") if key in known}
                kept[str(seed)] = found
                write(report)
    report = read()
    write(report)
    missed = [name for name, seeds in report.items() if not is_met(PROBLEMS[name], seeds)]
    if missed:
        sys.exit(f"quality: not reached: {', '.join(missed)}.")


def read() -> dict[str, Any]:
    """The figures that were measured before."""
    return json.loads(REPORT.read_text()) if REPORT.exists() else {}


if __name__ == "__main__":
    main()
