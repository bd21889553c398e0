"""Torch's optimisers without their guards: the same steps, and no compiler imported for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.optim import SGD, AdamW

from elman.train import TrainOptions
from elman.train._optim import make_optimizer


def _step(optimizer, parameter):
    for step in range(3):
        optimizer.zero_grad()
        (parameter * torch.arange(5.0).add(step)).sin().sum().backward()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_steps_are_torchs(name):
    options = TrainOptions(optimizer=name, lr=0.1, momentum=0.5, weight_decay=0.1)
    module = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(5))])
    other = torch.nn.Parameter(torch.ones(5))
    if name == "sgd":
        theirs = SGD([other], 0.1, momentum=0.5, weight_decay=0.1)
    else:
        theirs = AdamW([other], 0.1, weight_decay=0.1, fused=True)
    ours = make_optimizer(module, options)
    seen = []
    ours.register_step_post_hook(lambda *_: seen.append(1))
    assert torch.equal(_step(ours, module[0]), _step(theirs, other))
    assert len(seen) == 3
    assert str(ours) == str(theirs)
    # and their states are each other's
    again = make_optimizer(module, options)
    again.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(_step(again, module[0]), _step(theirs, other))
    assert not module[0].grad.requires_grad


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_training_imports_no_compiler(name):
    code = (
        "import sys; from elman.train import TrainOptions;"
        "from train.trainings import train;"
        f"train(TrainOptions(epochs=1, optimizer='{name}', schedule='cosine', average=0.9));"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
