"""One process at a time trains in a run folder."""

import re
import signal
import subprocess
import sys

import pytest
import torch

import elman
from elman.tasks._claim import claimed, sign

TEXT = ["to be, or not to be, that is the question: whether tis nobler. " * 40]
OPTIONS = {"hidden_size": 24, "bptt": 16, "batch_size": 4, "lr": 0.01, "checkpoint_seconds": 0.0}
TRAINING = f"""
import sys, torch, elman
torch.set_num_threads(1)
print("ready", flush=True)
sys.stdin.readline()
model = elman.LanguageModel(**{OPTIONS}, epochs=int(sys.argv[2]))
model.fit({TEXT}, run=sys.argv[1])
"""


def model(epochs):
    return elman.LanguageModel(**OPTIONS, epochs=epochs)


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.module_.parameters()])


def training(folder, epochs):
    begun = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(folder), str(epochs)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert begun.stdout.readline() == "ready\n"
    return begun


def go(begun):
    begun.stdin.write("\n")
    begun.stdin.flush()


def test_a_second_training_in_a_folder_is_refused_and_a_killed_one_is_not_in_the_way(tmp_path):
    folder = tmp_path / "run"
    begun = training(folder, 10_000)
    go(begun)
    try:
        while not any((folder / "checkpoints").glob("step-*.safetensors")):
            assert begun.poll() is None, begun.stderr.read()
        said = f"{folder}: is being trained by process {begun.pid}; let it end, or give another fol"
        with pytest.raises(ValueError, match=f"^{re.escape(said)}der.$"):
            model(10_000).fit(TEXT, run=folder)
        fitted = model(1).fit(TEXT)
        with pytest.raises(ValueError, match=f"is being trained by process {begun.pid};"):
            fitted.save(folder)
    finally:
        begun.send_signal(signal.SIGKILL)
        begun.communicate()
    with claimed(folder):
        pass
    assert not (folder / ".process").exists()


def test_of_trainings_that_begin_at_once_one_goes_on(tmp_path):
    folder = tmp_path / "run"
    begun = [training(folder, 4) for _ in range(3)]
    for one in begun:
        go(one)
    said = [one.communicate()[1] for one in begun]
    lost = [text for text in said if text]
    assert len(lost) < len(begun)
    assert all("is being trained by" in text.splitlines()[-1] for text in lost)
    assert torch.equal(weights(elman.load(folder)), weights(model(4).fit(TEXT)))


def test_a_folder_is_free_behind_a_training_that_failed(tmp_path):
    with pytest.raises(ValueError, match="no tokens"):
        model(1).fit([""], run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert model(1).fit(TEXT, run=tmp_path / "run").results_


def test_without_locks_training_goes_on(tmp_path, monkeypatch):
    def lacks(*_):
        raise OSError

    monkeypatch.setattr("fcntl.flock", lacks)
    with claimed(tmp_path), claimed(tmp_path):
        pass


def test_a_claim_leaves_nothing_and_takes_nothing_of_others(tmp_path):
    with claimed(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / ".process").write_text("the user's own")
    with claimed(tmp_path / "old"):
        pass
    assert (tmp_path / "old" / ".process").read_text() == "the user's own"
    with claimed(tmp_path / "signed"):
        sign(tmp_path / "signed")
        (tmp_path / "signed" / "kept").touch()
    assert [one.name for one in (tmp_path / "signed").iterdir()] == ["kept"]
