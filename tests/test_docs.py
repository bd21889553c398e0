"""What the README and the docs show runs, and the examples do."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
IDS = {"ids": lambda path: path.name}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", PAGES, **IDS)
def test_python_blocks_run_in_order(page, tmp_path):
    code = blocks(page, "python")
    if not code:
        pytest.skip(f"{page.name} shows no Python")
    (tmp_path / "page.py").write_text("\n".join(code), "utf-8")
    subprocess.run([sys.executable, "-W", "error", "page.py"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("page", PAGES, **IDS)
def test_commands_run_in_order(page, tmp_path):
    """In a folder that holds the files that the pages speak of."""
    commands = [line for block in blocks(page, "sh") for line in block.splitlines()]
    if not commands:
        pytest.skip(f"{page.name} shows no commands")
    (tmp_path / "book.txt").write_text("It was the best of times, it was the worst.\n" * 80)
    rows = "".join(f'"{"win now" if i % 2 else "see you"}",{i % 2}\n' for i in range(40))
    (tmp_path / "messages.csv").write_text("text,label\n" + rows)
    days = "".join(f"2024-{1 + i // 28:02}-{1 + i % 28:02},{i % 7}\n" for i in range(28))
    (tmp_path / "sales.csv").write_text("date,sold\n" + days)
    folder = Path(sys.executable).parent
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "elman"
        words[0] = str(folder / "elman")
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)


@pytest.mark.parametrize("example", EXAMPLES, **IDS)
def test_examples_run(example, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(example)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        named = re.findall(r"^make (.*?)(?:  |$)", "\n".join(blocks(page, "")), re.M)
        words = {word for line in named for word in line.split() if "=" not in word}
        assert words <= targets, page


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), (page, target)


@pytest.mark.parametrize(
    ("page", "name", "file"),
    [
        ("README.md", "quality", "results/quality.md"),
        ("README.md", "speed", "results/summary.md"),
        ("docs/gradients.md", "long", "results/long_sequence.md"),
        ("docs/gradients.md", "long-memory", "results/long_memory.md"),
    ],
)
def test_a_table_of_figures_is_the_measured_one(page, name, file):
    text = (ROOT / page).read_text("utf-8")
    shown = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.S)
    assert shown is not None
    assert shown.group(1).strip() == (ROOT / "benchmarks" / file).read_text("utf-8").strip()
