"""A training goes on on another device than the one it was begun on."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from train.trainings import Copy, Stopping, start, train

from elman.train import Interrupted, TrainOptions
from elman.train._checkpoint import (
    load_checkpoint,
    random_states,
    save_checkpoint,
    set_random_states,
)


def read(folder):
    """The newest checkpoint's tensors, and what it tells of them."""
    with safe_open(max(folder.iterdir()), "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["state"])


def rewrite(folder, tensors, skeleton):
    save_file(tensors, max(folder.iterdir()), metadata={"state": json.dumps(skeleton)})


def moved(skeleton, device, name=""):
    """What a checkpoint tells of its tensors as if all but the random states were on a device."""
    if "tensor" in skeleton:
        stays = name.startswith("random")
        return skeleton if stays else {**skeleton, "device": device}
    if "dict" in skeleton:
        return {"dict": [[k, moved(one, device, name or k)] for k, one in skeleton["dict"]]}
    for kind in ("list", "tuple"):
        if kind in skeleton:
            return {kind: [moved(one, device, name) for one in skeleton[kind]]}
    return skeleton


@pytest.mark.parametrize("options", [{}, {"average": 0.9}, {"optimizer": "sgd", "momentum": 0.5}])
def test_a_checkpoint_of_a_machine_with_a_gpu_goes_on_without_one(tmp_path, options):
    options = TrainOptions(epochs=4, **options)
    figures = {"evaluate": lambda: {"loss": 1.0}}
    expected, _ = train(options, **figures)
    with pytest.raises(Interrupted):
        train(options, start(tmp_path), Stopping(), **figures)
    tensors, skeleton = read(tmp_path / "checkpoints")
    # of a GPU that no machine has
    rewrite(tmp_path / "checkpoints", tensors, moved(skeleton, "cuda:99"))
    found, history = train(options, start(tmp_path), Copy(), **figures)
    assert history.steps == 24
    assert torch.equal(found, expected)


def test_tensors_go_where_the_training_goes_on(tmp_path):
    state = {"w": torch.ones(3), "seed": torch.zeros(2), "plain": 1}
    save_checkpoint(tmp_path, 1, state)
    # begun on the processor, all of it moves; a part on another device tells that it was not
    found = load_checkpoint(tmp_path, "meta")
    assert [found[name].device.type for name in ("w", "seed")] == ["meta", "meta"]
    assert load_checkpoint(tmp_path)["w"].device.type == "cpu"
    tensors, skeleton = read(tmp_path)
    part = {"dict": [[k, moved(one, "cuda:1") if k == "w" else one] for k, one in skeleton["dict"]]}
    rewrite(tmp_path, tensors, part)
    found = load_checkpoint(tmp_path, "meta")
    assert [found[name].device.type for name in ("w", "seed")] == ["meta", "cpu"]


def test_random_states_of_gpus_that_are_not_there_are_left_out(tmp_path):
    states = random_states()
    expected = torch.rand(3)
    more = [torch.zeros(16, dtype=torch.uint8)] * (torch.cuda.device_count() + 1)
    set_random_states({**states, "cuda": more if not torch.cuda.is_available() else []})
    assert torch.equal(torch.rand(3), expected)
