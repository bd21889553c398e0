"""What a command does to its own process."""

import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import os, resource, sys
from elman.cli._process import own_process
import torch
if sys.argv[1] == "own":
    with own_process():
        pass
def step():
    return [torch.ones(1 << 20) for _ in range(8)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(whose, **environment):
    done = subprocess.run(
        [sys.executable, "-c", STEPS, whose],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_memory_of_a_step_is_kept_for_the_next():
    assert _faults("own") < 0.1 * _faults("others")
    # who set the allocator keeps what was set
    assert _faults("own", MALLOC_TRIM_THRESHOLD_="65536") > 10 * _faults("own")


def test_garbage_is_collected_behind_the_imports_alone():
    code = (
        "import gc, sys; from elman.cli import main\n"
        "usual = gc.get_threshold()\n"
        "sys.argv = ['elman', 'train', 'classify', 'no.csv', '--out', 'o']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'elman.tasks' in sys.modules\n"
        "assert gc.get_freeze_count() > 100_000\n"
        "assert gc.get_stats()[2]['collections'] == 0\n"
        "kept = [[] for _ in range(600_000)]\n"
        "assert gc.get_threshold() == usual and not gc.callbacks\n"
        "assert gc.get_stats()[2]['collections'] > 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
