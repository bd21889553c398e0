"""A measured row of the speed benchmark, on the screen and in files; a processor has a folder."""

import json
import math
import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUITES = {
    "dense": "whole batches",
    "ragged": "ragged batches",
    "bfloat16": "whole batches in bfloat16",
    "projection": "an LSTM whose output is projected",
    "far": "few rows of weights that no cache near the core holds",
    "stack": "stacks of layers",
    "step": "a single step",
    "loop": "a loop over a cell",
    "memory": "peak memory",
}

CELLS = ("RNN", "GRU", "LSTM")
# no physical limit is known of these
UNLIMITED = ("stack", "step", "loop", "memory")


@dataclass
class Row:
    """One cell, size and pass: Elman's time, and how many times faster it is than each peer.

    Args:
        suite: a name in `SUITES`.
        cell: RNN, GRU or LSTM.
        size: (T, B, I, H) and what differs from one whole float32 layer.
        note: what the size stands for.
        threads: of every contender.
        train: forward and backward, or forward alone.
        ms: Elman's milliseconds; for memory its megabytes.
        faster_than: for each peer its time by Elman's, or its memory by Elman's.
        of_limit: the physical limit's time by Elman's.
        held_by: what holds the physical limit.
        of_peak: the products' operations a second by those of a large matrix product.
        peak_gflops: the latter.
    """

    suite: str
    cell: str
    size: str
    note: str
    threads: int
    train: bool
    ms: float
    faster_than: dict[str, float] = field(default_factory=dict)
    of_limit: float = 0.0
    held_by: str = ""
    of_peak: float = 0.0
    peak_gflops: float = 0.0

    @property
    def kind(self) -> str:
        """What is measured."""
        return "step" if self.suite == "step" else "train" if self.train else "infer"

    @property
    def amount(self) -> str:
        """Elman's time or memory with its unit."""
        if self.suite == "memory":
            return f"{self.ms:.0f} MB"
        return f"{self.ms * 1e3:.2f} us" if self.suite == "step" else f"{self.ms:.3g} ms"


def print_row(row: Row) -> None:
    """One line on the screen."""
    peers = "  ".join(f"{name} {ratio:.2f}x" for name, ratio in row.faster_than.items())
    limit = f"{row.of_limit:4.0%} of the limit ({row.held_by}), {row.of_peak:4.0%} of the peak"
    more = "" if row.suite in UNLIMITED else limit
    print(
        f"{row.threads} thread{'s' * (row.threads > 1)} {row.cell:4} {row.size:32}"
        f" {row.kind} {row.amount:>9}  {peers}  {more}",
        flush=True,
    )


def geometric_mean(values: list[float]) -> float:
    """The mean of ratios; not a number where there are none."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def keep(rows: list[Row], folder: Path) -> None:
    """Puts rows into `speed.json`; rows and peers that were not measured now stay as they were.

    A row without torch.nn adds its peers to what is known of a row with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {_place(row): row for row in kept(folder)}
    for row in rows:
        before = known.get(_place(row))
        if before is not None and "torch.nn" in before.faster_than.keys() - row.faster_than.keys():
            before.faster_than |= row.faster_than
            continue
        if before is not None:
            row.faster_than = before.faster_than | row.faster_than
        known[_place(row)] = row
    order = [*SUITES, *CELLS]
    every = sorted(
        known.values(),
        key=lambda row: (order.index(row.suite), row.threads, order.index(row.cell)),
    )
    found = {"machine": machine(), "rows": [vars(row) for row in every]}
    (folder / "speed.json").write_text(json.dumps(found, indent=1) + "\n")


def kept(folder: Path) -> list[Row]:
    """The rows of `speed.json`."""
    path = folder / "speed.json"
    return [Row(**one) for one in json.loads(path.read_text())["rows"]] if path.exists() else []


def write_report(folder: Path) -> None:
    """Writes `speed.md` and `speed.png` from `speed.json`."""
    rows = kept(folder)
    named = measured_on(folder)
    title = f"Measured on {processor_of(named)} ({named['instructions']}),"
    title += f" torch {named['torch']}."
    if any(row.of_limit > 1.02 for row in rows):
        title += (
            "\nThe limit follows from the peak of torch's matrix product; a row beyond 100% shows"
            "\nthat this product is not the fastest that the processor can do."
        )
    (folder / "speed.md").write_text("\n\n".join([title, *tables(rows)]) + "\n")
    _picture(rows, folder / "speed.png")


def measured_on(folder: Path) -> dict[str, str]:
    """The machine of `speed.json`."""
    return json.loads((folder / "speed.json").read_text())["machine"]


def processor_of(machine: dict[str, str]) -> str:
    """A processor's name without what all of them have in it."""
    name = re.sub(r"\((R|TM|r|tm)\)|\bProcessor\b|\bCPU\b|@.*", " ", machine["processor"])
    return " ".join(name.split()) or "unknown"


def name_of(machine: dict[str, str]) -> str:
    """The processor, with the instructions that its figures are of where these are no AVX-512."""
    instructions = machine["instructions"]
    return processor_of(machine) + ("" if instructions == "AVX512" else f" ({instructions})")


def folder_name(machine: dict[str, str]) -> str:
    """The folder of a machine's figures."""
    return re.sub(r"[^a-z0-9]+", "-", name_of(machine).lower()).strip("-")


def _place(row: Row) -> tuple[str, str, str, int, bool]:
    return row.suite, row.cell, row.size, row.threads, row.train


def _processor() -> str:
    """The processor as it names itself, an AMD with its generation: servers of all of them may have
    the same name, and AVX-512 twice as fast from Zen 5 on.
    """
    said = {
        key.strip(): value.strip()
        for key, _, value in (
            line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()
        )
    }
    name = said.get("model name") or platform.processor()
    zen = {"25": 4 if "avx512f" in said.get("flags", "") else 3, "26": 5}
    generation = zen.get(said.get("cpu family", "")) if name.startswith("AMD") else None
    return f"{name} Zen {generation}" if generation else name


def machine() -> dict[str, str]:
    """What the figures depend on."""
    import torch

    import elman

    return {
        "processor": _processor(),
        # forced ones' figures are kept apart
        "instructions": os.environ.get("ELMAN_CPU", "").upper()
        or torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "elman": elman.__version__,
    }


def summary(folders: list[Path]) -> str:
    """The README's tables, one for each processor, the fastest beside torch.nn first: times faster
    than torch.nn on one thread, infer / train.
    """
    found: list[tuple[float, str]] = []
    for folder in folders:
        rows = [r for r in kept(folder) if r.threads == 1 and r.suite != "memory"]
        whole = [r.faster_than["torch.nn"] for r in rows if r.suite == "dense"]
        found.append((geometric_mean(whole), _summary_of(name_of(measured_on(folder)), rows)))
    shown = [table for _, table in sorted(found, reverse=True)]
    return "\n".join(shown).replace("<details>", "<details open>", 1)


def _summary_of(name: str, rows: list[Row]) -> str:
    ratios: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        size = f"{row.size} {row.note}".strip()
        what = f"{size}, one step of a stream" if row.suite == "step" else size
        ratios.setdefault(what, {}).setdefault(row.cell, []).append(row.faster_than["torch.nn"])
    means = ratios.setdefault("geometric mean of whole batches", {})
    for cell in CELLS:
        some = [r for r in rows if r.cell == cell and r.suite == "dense"]
        means[cell] = [
            geometric_mean([r.faster_than["torch.nn"] for r in some if r.kind == kind])
            for kind in ("infer", "train")
        ]
    shown = {
        what: [" / ".join(f"{v:.3g}" for v in of_size.get(cell, [])) for cell in CELLS]
        for what, of_size in ratios.items()
    }
    in_short = ", ".join(
        map(" ".join, zip(CELLS, shown["geometric mean of whole batches"], strict=True))
    )
    lines = [f"<details><summary>{name}: {in_short}</summary>", ""]
    lines += [f"| (T, B, I, H) | {' | '.join(CELLS)} |", "| --- " * (len(CELLS) + 1) + "|"]
    lines += [f"| {what} | {' | '.join(values)} |" for what, values in shown.items()]
    return "\n".join([*lines, "", "</details>", ""])


def tables(rows: list[Row]) -> list[str]:
    """A table in Markdown for each suite and number of threads."""
    made: list[str] = []
    for suite, title in SUITES.items():
        for threads in sorted({row.threads for row in rows}):
            some = [row for row in rows if row.suite == suite and row.threads == threads]
            if some:
                made.append(_table(some, f"### {title}, {threads} thread{'s' * (threads > 1)}"))
    return made


def _table(rows: list[Row], title: str) -> str:
    peers = list(dict.fromkeys(name for row in rows for name in row.faster_than))
    is_timed = rows[0].suite not in UNLIMITED
    head = ["cell", "(T, B, I, H)", "pass", "Elman", *(f"{one} / Elman" for one in peers)]
    head += ["of the limit", "held by", "of the peak"] if is_timed else []
    lines = [title, "", "| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for row in rows:
        cells = [row.cell, row.size + (f" {row.note}" if row.note else ""), row.kind, row.amount]
        cells += [f"{row.faster_than[p]:.2f}" if p in row.faster_than else "" for p in peers]
        if is_timed:
            cells += [f"{row.of_limit:.0%}", row.held_by, f"{row.of_peak:.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    for kind in ("infer", "train"):
        some = [row.faster_than["torch.nn"] for row in rows if row.kind == kind and is_timed]
        if some:
            lines += ["", f"Geometric mean against torch.nn, {kind}: {geometric_mean(some):.2f}."]
    return "\n".join(lines)


def _picture(rows: list[Row], path: Path) -> None:
    """Bars of the ratio to torch.nn at one thread, a panel for each cell."""
    from matplotlib.figure import Figure

    some = [r for r in rows if r.suite in ("dense", "ragged") and r.threads == 1]
    cells = list(dict.fromkeys(row.cell for row in some))
    if not cells:
        return
    figure = Figure(figsize=(4.2 * len(cells), 5.2), layout="constrained")
    panels: Any = figure.subplots(1, len(cells), sharey=True, squeeze=False)[0]
    for panel, cell in zip(panels, cells, strict=True):
        labels = list(dict.fromkeys(row.size for row in some))[::-1]
        for shift, kind, colour in ((0.2, "infer", "#9ecae1"), (-0.2, "train", "#08519c")):
            here = {r.size: r.faster_than["torch.nn"] for r in some
                    if r.cell == cell and r.kind == kind}  # fmt: skip
            at = [i + shift for i, size in enumerate(labels) if size in here]
            values = [here[size] for size in labels if size in here]
            panel.barh(at, values, 0.38, label=kind, color=colour, edgecolor="black", linewidth=0.4)
            for y, value in zip(at, values, strict=True):
                shown = f"{value:.2g}" if value < 99.5 else f"{value:.0f}"
                panel.text(value * 1.05, y, shown, va="center", fontsize=7)
        panel.set_xscale("log")
        panel.set_xlim(0.7, 2 * max(r.faster_than["torch.nn"] for r in some))
        panel.axvline(1, color="black", linewidth=1)
        panel.set_title(f"{cell}: times faster than torch.nn")
        panel.set_yticks(range(len(labels)), labels, fontsize=7)
    panels[0].legend(loc="lower right", fontsize=8)
    panels[0].set_ylabel("(T, B, I, H)")
    figure.savefig(path, dpi=150)
