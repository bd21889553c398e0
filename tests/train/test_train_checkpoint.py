"""Checkpoints: whole or not at all, and not all the time."""

import resource
import signal
from itertools import pairwise

import pytest
import torch
from train.trainings import Copy, Memory, start

from elman.train import TrainOptions, fit
from elman.train import _checkpoint as checkpoint
from elman.train._checkpoint import load_checkpoint, save_checkpoint


def test_a_state_comes_back_as_it_was(tmp_path):
    shared = torch.randn(3, 4)
    state = {
        "tied": [shared, shared, shared.view(-1)[2:]],
        "turned": torch.randn(2, 5).t(),
        "empty": (torch.zeros(0), torch.zeros(0, 2)),
        "plain": {"1": None, "two": [1.5, "x", True]},
    }
    save_checkpoint(tmp_path, 7, state)
    found = load_checkpoint(tmp_path)
    assert found["plain"] == state["plain"]
    for name in ("tied", "empty"):
        assert type(found[name]) is type(state[name])
        for one, other in zip(found[name], state[name], strict=True):
            assert torch.equal(one, other)
    assert torch.equal(found["turned"], state["turned"])


def test_what_is_one_tensor_is_written_once_and_one_again(tmp_path):
    shared = torch.randn(1000)
    save_checkpoint(tmp_path, 1, {"module": {"in": shared, "out": shared}, "best": shared.clone()})
    assert next(tmp_path.iterdir()).stat().st_size < 2.5 * 4000
    found = load_checkpoint(tmp_path)
    assert found["module"]["in"] is found["module"]["out"]
    assert found["best"] is not found["module"]["in"]
    assert torch.equal(found["module"]["in"], shared)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    save_checkpoint(tmp_path, 1, {"w": torch.ones(3)})
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"step-00000002\S*: the checkpoint cannot be written"):
            save_checkpoint(tmp_path, 2, {"w": torch.ones(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [one.name for one in tmp_path.iterdir()] == ["step-00000001.safetensors"]
    assert torch.equal(load_checkpoint(tmp_path)["w"], torch.ones(3))


class Clock:
    """A second for each step, and some for each checkpoint."""

    def __init__(self, monkeypatch, saving):
        self.now, self.saved, self.saving = 0.0, [], saving
        monkeypatch.setattr(checkpoint.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(checkpoint, "save_checkpoint", self.save)

    def save(self, folder, step, state):
        self.now += self.saving
        self.saved.append(step)

    def tick(self):
        self.now += 1.0


@pytest.mark.parametrize(
    ("seconds", "saving", "between"),
    [(2.0, 0.0, 2), (2.0, 0.125, 13), (2.0, 5.0, 20), (0.0, 5.0, 1)],
)
def test_checkpoints_are_rarer_where_they_take_long(
    tmp_path, monkeypatch, seconds, saving, between
):
    clock = Clock(monkeypatch, saving)

    class Ticking(Copy):
        def epoch(self, epoch, start=0):
            for batch in super().epoch(epoch, start):
                clock.tick()
                yield batch

    options = TrainOptions(epochs=1, checkpoint_seconds=seconds)
    fit(Memory(), Ticking(100), options=options, run=start(tmp_path / "run"))
    assert clock.saved[0] == max(seconds, 1)
    assert {b - a for a, b in pairwise(clock.saved)} == {between}
