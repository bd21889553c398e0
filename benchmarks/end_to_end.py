"""Whole trainings on the native kernels, torch's and the reference, the same data and seed.

    make bench ELMAN_DATA=folder

Trains the language model of `elman demo` and, where its data is there, the one of the README's
tiny-shakespeare figure for 200 steps on each backend, compares the losses, and writes
`results/end_to_end.json`.
"""

import argparse
import json
import os
import shlex
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from _quality_problems import PROBLEMS
from _report import machine

import elman

RESULTS = Path(__file__).parent / "results"
BACKENDS = ("auto", "torch", "reference")
STEPS, FIRST = 200, 20
# where the command line says it shorter
NAMES = {"--hidden": "hidden_size", "--layers": "num_layers", "--batch": "batch_size"}


def models() -> dict[str, tuple[dict[str, Any], list[str]]]:
    """The options and texts of each language model."""
    from elman.cli._corpus import standard_library_texts
    from elman.cli._demo import OPTIONS

    texts = standard_library_texts()
    found: dict[str, tuple[dict[str, Any], list[str]]] = {
        "make demo": (dict(OPTIONS), texts[: len(texts) // 3])
    }
    shakespeare = Path(os.environ.get("ELMAN_DATA", "")) / "tiny-shakespeare" / "input.txt"
    if shakespeare.exists():
        text = shakespeare.read_text("utf-8")
        options = options_of(PROBLEMS["tiny-shakespeare"].commands[0])
        found["tiny-shakespeare"] = options, [text[: len(text) * 9 // 10]]
    return found


def options_of(command: str) -> dict[str, Any]:
    """The options of a model that `elman train language-model …` trains."""
    words = shlex.split(command)[3:]
    options: dict[str, Any] = {}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        if flag not in ("--out", "--seed"):
            number = value.replace(".", "").isdigit()
            options[NAMES.get(flag, flag[2:])] = json.loads(value) if number else value
    return options


def losses(
    options: dict[str, Any], texts: list[str], backend: str, steps: int
) -> tuple[list[float], float]:
    """The training losses of the first steps, and the seconds of the whole call."""
    with TemporaryDirectory() as folder, elman.ops.only(backend):
        run = Path(folder) / "run"
        model = elman.LanguageModel(**{**options, "max_steps": steps, "random_state": 0})
        start = time.perf_counter()
        model.fit(texts, run=run)
        seconds = time.perf_counter() - start
        lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [one["loss"] for one in records if "loss" in one and "lr" in one], seconds


def main() -> None:
    """Trains, compares and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, (settings, texts) in models().items():
        # what happens once, like reading the text, is not the training's
        once = {backend: losses(settings, texts, backend, FIRST)[1] for backend in BACKENDS}
        found = {backend: losses(settings, texts, backend, STEPS) for backend in BACKENDS}
        found = {b: (values, seconds - once[b]) for b, (values, seconds) in found.items()}
        reference, _ = found["reference"]
        ours, seconds = found["auto"]
        worst = max(abs(a - b) / abs(b) for a, b in zip(ours, reference, strict=True))
        row = {
            "model": name,
            "processor": machine()["processor"],
            "steps": len(reference),
            "threads": torch.get_num_threads(),
            "seconds_of_180_steps": {backend: one[1] for backend, one in found.items()},
            "faster_than": {b: found[b][1] / seconds for b in BACKENDS[1:]},
            "last_loss": {backend: one[0][-1] for backend, one in found.items()},
            "worst_difference": worst,
        }
        print(json.dumps(row), flush=True)
        rows.append(row)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "end_to_end.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
