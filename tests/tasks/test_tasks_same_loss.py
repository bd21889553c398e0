"""A training on the native kernels is the training on the reference."""

import json
import os
import sys
from pathlib import Path

import pytest

import elman
from elman.cli._corpus import standard_library_texts
from elman.cli._demo import OPTIONS

STEPS = 200
# the same numbers but for the order of summation, which training makes grow
FOUR_DIGITS = 5e-5


def _losses(folder, backend, texts, options):
    with elman.ops.only(backend):
        model = elman.LanguageModel(**{**options, "max_steps": STEPS, "random_state": 0})
        model.fit(texts, run=folder / backend)
    lines = (folder / backend / "metrics.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [one["loss"] for one in records if "lr" in one]


def _agree(ours, reference):
    assert len(ours) == STEPS
    for step, (one, other) in enumerate(zip(ours, reference, strict=True)):
        assert abs(one - other) <= FOUR_DIGITS * abs(other), f"step {step}: {one} and {other}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's losses, by backend."""
    # enough for 200 steps
    texts, folder = standard_library_texts()[:1200], tmp_path_factory.mktemp("demo")
    return {one: _losses(folder, one, texts, OPTIONS) for one in ("auto", "torch", "reference")}


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11),
    reason="the texts of another Python may make roundings grow, those of torch's kernels too",
)
def test_the_demo_has_the_same_losses(demo):
    _agree(demo["auto"], demo["reference"])


def test_the_demo_is_as_near_to_the_reference_as_torch(demo):
    def off(backend):
        pairs = zip(demo[backend], demo["reference"], strict=True)
        return max(abs(one - other) / other for one, other in pairs)

    assert off("auto") <= 4 * off("torch")


@pytest.mark.skipif(
    not os.environ.get("ELMAN_DATA"), reason="ELMAN_DATA names no folder with tiny-shakespeare"
)
def test_tiny_shakespeare_has_the_same_losses(tmp_path):
    text = (Path(os.environ["ELMAN_DATA"]) / "tiny-shakespeare" / "input.txt").read_text("utf-8")
    options = {"level": "characters", "hidden_size": 256, "num_layers": 2, "dropout": 0.3,
               "batch_size": 50, "bptt": 64}  # fmt: skip
    texts = [text[: len(text) * 9 // 10]]
    _agree(*(_losses(tmp_path, one, texts, options) for one in ("auto", "reference")))
