"""Runs that the tests of the command line look at."""

import numpy as np
import pytest
from command import end, run

SMALL = ["--hidden", "8", "--epochs", "2"]


@pytest.fixture(scope="session", autouse=True)
def _end():
    yield
    end()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A file of each kind, and a run of each task."""
    here = tmp_path_factory.mktemp("tasks")
    rng = np.random.default_rng(0)
    rows = [("good", "a fine film"), ("bad", "a dull film")] * 20
    (here / "text.tsv").write_text("label\ttext\n" + "".join(f"{a}\t{b}\n" for a, b in rows))
    steps = [(i, t, rng.normal() + i % 3) for i in range(30) for t in range(3 + i % 4)]
    lines = [f"{i},{t},{x:.3f},{i % 3}.5\n" for i, t, x in steps]
    (here / "steps.csv").write_text("patient,hour,pulse,y\n" + "".join(lines))
    days = np.datetime64("2024-01-01") + np.arange(120)
    sold = 10 + 5 * np.sin(np.arange(120) * 2 * np.pi / 7) + rng.normal(0, 0.1, 120)
    lines = [f"{day},{x:.3f}\n" for day, x in zip(days, sold, strict=True)]
    (here / "sales.csv").write_text("date,sold\n" + "".join(lines))
    done = [
        run("train", "classify", here / "text.tsv", "--out", here / "classify", "--epochs", "9",
            "--lr", "0.02", "--hidden", "8"),
        run("train", "regress", here / "steps.csv", "--out", here / "regress", "--id-column",
            "patient", *SMALL),
        run("train", "forecast", here / "sales.csv", "--out", here / "forecast", "--horizon", "7",
            *SMALL),
    ]  # fmt: skip
    for one in done:
        assert one.returncode == 0, one.stderr
    assert "columns: label = label; text = text" in done[0].stdout
    assert "columns: label = y; id = patient; features = hour, pulse" in done[1].stdout
    assert "columns: target = sold; time = date" in done[2].stdout
    assert "skill over seasonal naive" in done[2].stdout
    return here
