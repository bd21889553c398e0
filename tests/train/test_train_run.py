"""The run folder and its mistakes."""

import json
import resource
import signal

import pytest
import torch
from safetensors import safe_open

from elman.train import Run, atomic_write


def _start(path, **params):
    return Run.start(path, task="t", params=params, data={"file": "a"})


def test_a_run_is_made_continued_and_refused(tmp_path):
    folder = tmp_path / "run"
    run = _start(folder, lr=0.1, layers=2)
    assert not run.finished
    run.finish({"loss": 1.0, "bad": float("inf")})
    again = _start(folder, lr=0.1, layers=2)
    assert again.finished
    assert again.config["results"] == {"loss": 1.0, "bad": None}
    with pytest.raises(ValueError, match="other options") as caught:
        Run.start(folder, task="u", params={"lr": 0.2, "layers": 2}, data={"file": "b"})
    assert str(caught.value) == (
        f"{folder}: holds a run with other options: task: here 't', now 'u'; lr: here 0.1, now 0.2;"
        " file: here 'a', now 'b'. Give the same options to go on, or another folder."
    )


def test_an_option_that_came_later_had_its_default(tmp_path):
    given = {"task": "t", "params": {"lr": 0.1}, "data": {}}
    Run.start(tmp_path, **given)
    later = {**given, "params": {"lr": 0.1, "new": (1, 2)}}
    assert Run.start(tmp_path, **later, defaults={"new": (1, 2), "lr": 7}).path == tmp_path
    with pytest.raises(ValueError, match=r"other options: new: here \[3\], now \[1, 2\]"):
        Run.start(tmp_path, **later, defaults={"new": (3,)})


def test_weights_that_two_layers_share_are_written_once(tmp_path):
    w = torch.arange(6.0).view(2, 3)
    weights = {"source": w, "row": w[0], "target": w, "bias": torch.ones(2)}
    run = _start(tmp_path / "run")
    run.save_weights(weights)
    with safe_open(run.path / "model.safetensors", "pt") as file:
        assert sorted(file.keys()) == ["bias", "row", "source"]
    found = Run.open(run.path).weights()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], one) for name, one in weights.items())
    assert found["target"].data_ptr() == found["source"].data_ptr()


def _broken(tmp_path, case):
    folder = tmp_path / "run"
    if case == "missing":
        return folder
    if case == "file":
        folder.write_text("x")
        return folder
    if case == "foreign":
        folder.mkdir()
        (folder / "photo.jpg").write_bytes(b"x")
        return folder
    run = _start(folder)
    run.save_weights({"w": torch.arange(100.0)})
    config, weights = folder / "config.json", folder / "model.safetensors"
    if case == "newer":
        run.update(format=99)
    elif case == "torn config":
        config.write_text(config.read_text()[:40])
    elif case == "odd config":
        config.write_text("[]")
    elif case == "truncated":
        weights.write_bytes(weights.read_bytes()[:-20])
    elif case == "tampered":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content))
    elif case == "no weights":
        weights.unlink()
    return folder


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("missing", "no such run folder; train one with elman train."),
        ("foreign", "this folder is not a run (it has no config.json); give another folder."),
        ("newer", "the run has format 99, this version of elman reads up to 1; upgrade elman."),
        ("torn config", "config.json: damaged ("),
        ("odd config", "config.json: this is not the config.json of a run; the folder is damaged."),
        ("truncated", "the weights are not those that the run wrote (truncated or changed);"),
        ("tampered", "the weights are not those that the run wrote (truncated or changed);"),
        ("no weights", "the run has no weights yet; let elman train finish."),
    ],
)
def test_damaged_runs_are_refused_in_one_line(tmp_path, case, text):
    folder = _broken(tmp_path, case)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        Run.open(folder).weights()
    assert text in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ["file", "foreign"])
def test_a_folder_that_is_no_run_is_left_alone(tmp_path, case):
    folder = _broken(tmp_path, case)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=str(folder)):
        _start(folder)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_torn_last_line_of_the_metrics_is_ignored(tmp_path):
    run = _start(tmp_path)
    run.append({"step": 1})
    run.append({"step": 2})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    assert [record["step"] for record in run.metrics()] == [1, 2]
    run.cut_metrics(1)
    assert (tmp_path / "metrics.jsonl").read_text() == json.dumps({"step": 1}) + "\n"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model"
    atomic_write(path, b"old")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            atomic_write(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert path.read_bytes() == b"old"


def test_nothing_is_pickled(tmp_path):
    run = _start(tmp_path)
    run.save_weights({"w": torch.zeros(3)})
    assert torch.equal(run.weights()["w"], torch.zeros(3))
    assert {p.suffix for p in tmp_path.iterdir()} <= {".json", ".jsonl", ".safetensors"}


def test_a_run_that_was_killed_at_its_first_file_starts_anew(tmp_path):
    (tmp_path / ".config.json.abc").write_text('{"form')
    run = Run.start(tmp_path, task="demo", params={}, data={})
    assert [one.name for one in run.path.iterdir()] == ["config.json"]
