"""Torch's optimisers without their guards: the same steps, and no compiler imported for them; its
clipping without a product by one.
"""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.optim import SGD, AdamW

from elman.train import TrainOptions
from elman.train._optim import clip_norm, make_optimizer


def _step(optimizer, parameter):
    for step in range(3):
        optimizer.zero_grad()
        (parameter * torch.arange(5.0).add(step)).sin().sum().backward()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("bound", [0.5, 1.0, 5.0, 1e-9])
@pytest.mark.parametrize(
    "size", [0.0, 1e-8, 1.0, 1 - 1e-6, 1 + 1e-6, 3.0, 1e25, math.inf, math.nan]
)
def test_gradients_are_clipped_as_torch_does(size, bound):
    def parameters():
        made = [torch.nn.Parameter(torch.ones(n)) for n in (3, 2, 4)]
        for one in made[:2]:
            one.grad = torch.linspace(-1, 1, len(one)) * size / math.sqrt(4)
        return made

    ours, theirs = parameters(), parameters()
    norm = torch.nn.utils.clip_grad_norm_(theirs, bound)
    assert clip_norm(ours, bound) == pytest.approx(float(norm), nan_ok=True, rel=0)
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0, equal_nan=True)
    assert ours[2].grad is None


def test_without_a_bound_no_gradient_is_touched():
    one = torch.nn.Parameter(torch.ones(2))
    one.grad = torch.tensor([3e38, -3e38])
    assert clip_norm([one], math.inf) == math.inf
    assert one.grad.tolist() == torch.tensor([3e38, -3e38]).tolist()


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
