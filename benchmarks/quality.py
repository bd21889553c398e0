"""Quality on real data against the figures that the README promises.

    make quality ELMAN_DATA=folder

Every case is made of `elman` commands as a user gives them, which are printed; the runs are kept in
`runs/quality`, so that a second call goes on where the first was cut off. Writes `quality.json` and
`quality.md` beside this file.
"""

import argparse
import csv
import gzip
import json
import os
import random
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
RUNS = Path(os.path.relpath(HERE.parent / "runs" / "quality"))
ELMAN = str(Path(sys.executable).with_name("elman"))


@dataclass
class Case:
    """A measured figure, what it must reach, and the commands that gave it."""

    name: str
    figure: str
    value: float
    needed: str
    reached: bool
    commands: list[str]
    details: dict[str, float]


def elman(commands: list[str], *arguments: object) -> dict[str, float]:
    """Runs a command, notes it, and gives its results."""
    words = [str(one) for one in arguments]
    shown = shlex.join(["elman", *words])
    print("$", shown, flush=True)
    commands.append(shown)
    done = subprocess.run([ELMAN, *words, "--json"], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def tiny_shakespeare(data: Path) -> Case:
    """Characters, first 90 % / last 10 %."""
    commands: list[str] = []
    found = elman(
        commands, "train", "language-model", data / "tiny-shakespeare" / "input.txt",
        "--out", RUNS / "tiny-shakespeare", "--level", "characters", "--layers", 2,
        "--hidden", 256, "--dropout", 0.3, "--batch", 50, "--bptt", 64, "--epochs", 10,
        "--lr", 0.004,
    )  # fmt: skip
    loss = found["loss"]
    name = "tiny-shakespeare, characters, LSTM 2 x 256"
    return Case(name, "validation nats/char", loss, "<= 1.60", loss <= 1.6, commands, found)


def sms_spam(data: Path) -> Case:
    """A seeded stratified 80/20 split."""
    with gzip.open(data / "sms-spam" / "SMSSpamCollection.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file]
    parts = train_test_split(rows, test_size=0.2, stratify=[r[0] for r in rows], random_state=0)
    files = [RUNS / "data" / f"sms-{name}.tsv" for name in ("train", "test")]
    for file, part in zip(files, parts, strict=True):
        lines = ["label\ttext", *("\t".join(row) for row in part)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    commands: list[str] = []
    elman(
        commands, "train", "classify", files[0], "--out", RUNS / "sms-spam", "--level", "subwords",
        "--hidden", 64, "--bidirectional", "--pooling", "max", "--dropout", 0.5, "--epochs", 10,
        "--set", "task.vocabulary_size=2000", "--set", "model.input_dropout=0.2",
    )  # fmt: skip
    found = elman(commands, "evaluate", RUNS / "sms-spam", files[1])
    f1 = found["f1_spam"]
    return Case("SMS spam, 20 % held out", "F1 of spam", f1, ">= 0.95", f1 >= 0.95, commands, found)


def japanese_vowels(data: Path) -> Case:
    """The archive's split; utterances of 7 to 29 steps, 12 channels, 9 speakers."""
    files: list[Path] = []
    for part in ("TRAIN", "TEST"):
        file = RUNS / "data" / f"japanese-vowels-{part.lower()}.jsonl"
        source = data / "uea-ucr" / f"JapaneseVowels_{part}.ts.gz"
        file.write_text("".join(json.dumps(row) + "\n" for row in read_ts(source)))
        files.append(file)
    commands: list[str] = []
    elman(
        commands, "train", "classify", files[0], "--out", RUNS / "japanese-vowels", "--hidden", 100,
        "--bidirectional", "--pooling", "mean", "--batch", 16, "--epochs", 60, "--dropout", 0.3,
        "--set", "task.validation_fraction=0",
    )  # fmt: skip
    found = elman(commands, "evaluate", RUNS / "japanese-vowels", files[1])
    value = found["accuracy"]
    name = "Japanese vowels, the archive's split"
    return Case(name, "accuracy", value, ">= 0.95", value >= 0.95, commands, found)


def read_ts(file: Path) -> list[dict[str, object]]:
    """The rows of the archive's .ts format: channels by colons, steps by commas, the label last."""
    rows: list[dict[str, object]] = []
    with gzip.open(file, "rt") as stream:
        for line in stream:
            if line.startswith(("#", "@")) or not line.strip():
                continue
            *channels, label = line.strip().split(":")
            numbers = [[float(x) for x in one.split(",")] for one in channels]
            steps = [list(step) for step in zip(*numbers, strict=True)]
            rows.append({"sequence": steps, "label": label})
    return rows


def sunspots(data: Path) -> Case:
    """Monthly, 24 months ahead; the last 282 months are tested on."""
    source = data / "classic-series" / "monthly-sunspots.csv"
    with source.open(newline="") as file:
        rows = list(csv.reader(file))
    options = ("--context", 288, "--cell", "gru", "--hidden", 64, "--batch", 2, "--epochs", 60)
    more = ("--lr", 0.005, "--dropout", 0.2, "--set", "train.weight_decay=0.1")
    return forecast("sunspots", "monthly sunspots", rows, 282, *options, *more)


def oil_temperature(data: Path) -> Case:
    """ETTh1, oil temperature, 24 hours ahead; 12 months, 4 to choose by, 4 to test."""
    with gzip.open(data / "ett" / "ETTh1.csv.gz", "rt", newline="") as file:
        rows = [[row[0], row[-1]] for row in csv.reader(file)]
    options = ("--context", 96, "--cell", "gru", "--hidden", 64, "--batch", 32, "--epochs", 40)
    more = ("--dropout", 0.3, "--set", "task.validation_fraction=0.25")
    name = "ETTh1 oil temperature"
    return forecast("oil-temperature", name, rows[: 1 + 20 * 720], 4 * 720, *options, *more)


def forecast(run: str, name: str, rows: list[list[str]], last: int, *options: object) -> Case:
    """Learns without the last steps and is measured on them, from every step on."""
    files = [RUNS / "data" / f"{run}{part}.csv" for part in ("-train", "")]
    for file, part in zip(files, (rows[:-last], rows), strict=True):
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows(part)
    commands: list[str] = []
    out = RUNS / run
    elman(commands, "train", "forecast", files[0], "--out", out, "--horizon", 24, *options)
    found = elman(commands, "evaluate", out, files[1], "--last", last)
    best = min(found["mase_persistence"], found["mase_seasonal_naive"])
    needed = f"< {best:.3f} (the better of persistence and seasonal-naive)"
    return Case(
        f"{name}, 24 ahead", "MASE", found["mase"], needed, found["mase"] < best, commands, found
    )


def memory(data: Path) -> Case:
    """Peak memory of a training on 500 MB of text."""
    file, out = RUNS / "data" / "500-megabytes.txt", RUNS / "memory"
    if not file.exists():
        lines = (data / "tiny-shakespeare" / "input.txt").read_text().splitlines(keepends=True)
        rng = random.Random(0)
        with file.open("w") as stream:
            while stream.tell() < 500_000_000:
                stream.write("".join(rng.choices(lines, k=100_000)))
    subprocess.run(["rm", "-rf", str(out)], check=True)
    commands: list[str] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    elman(
        commands, "train", "language-model", file, "--out", out, "--level", "characters",
        "--hidden", 256, "--layers", 2, "--max-steps", 50, "--set", "task.validation_fraction=0",
    )  # fmt: skip
    # in KiB on Linux, the most of all children so far
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    details = {"bytes": file.stat().st_size, "earlier_children_gb": before * 1024 / 1e9}
    file.unlink()
    name = "peak memory, a text of 500 MB"
    return Case(name, "GB", peak, "< 1.5", peak < 1.5, commands, details)


CASES: list[Callable[[Path], Case]] = [
    memory, tiny_shakespeare, sms_spam, japanese_vowels, sunspots, oil_temperature,
]  # fmt: skip


def table(cases: list[Case]) -> str:
    """The figures as Markdown."""
    lines = ["| data | figure | reached | needed |", "| --- | --- | --- | --- |"]
    lines += [f"| {c.name} | {c.figure} | {c.value:.3f} | {c.needed} |" for c in cases]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the cases that were named, or all, and writes what they gave."""
    parser = argparse.ArgumentParser(description="quality on real data")
    parser.add_argument("only", nargs="*", help="names of cases; all without")
    only = parser.parse_args().only
    folder = os.environ.get("ELMAN_DATA")
    if folder is None or not Path(folder).is_dir():
        sys.exit("quality: ELMAN_DATA names no folder of data sets; give ELMAN_DATA=folder.")
    (RUNS / "data").mkdir(parents=True, exist_ok=True)
    report = HERE / "quality.json"
    found = json.loads(report.read_text()) if report.exists() else {}
    for case in CASES:
        if only and case.__name__ not in only:
            continue
        one = case(Path(folder))
        # the table must not know where the data lie
        commands = [
            text.replace(folder.rstrip("/"), "$ELMAN_DATA").replace(f"{RUNS}", "runs/quality")
            for text in one.commands
        ]
        details = {k: v for k, v in one.details.items() if k != "run"}
        found[case.__name__] = asdict(one) | {"commands": commands, "details": details}
        report.write_text(json.dumps(found, indent=2) + "\n")
    rows = [Case(**found[case.__name__]) for case in CASES if case.__name__ in found]
    (HERE / "quality.md").write_text(table(rows))
    print(table(rows))
    if not all(row.reached for row in rows):
        sys.exit("quality: a figure was not reached.")


if __name__ == "__main__":
    main()
