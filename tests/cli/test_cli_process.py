"""What a command does to its own process."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

# blocks of 48 MB, more than glibc ever keeps by itself
STEPS = """
import ctypes, resource, sys
from elman.cli._process import own_process
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "own":
    with own_process():
        pass
def step():
    block = library.malloc(48 << 20)
    ctypes.memset(block, 1, 48 << 20)
    library.free(block)
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
    small = {"THP_MEM_ALLOC_ENABLE": "0"}
    kept = _faults("own", **small)
    assert kept < 0.1 * _faults("others", **small)
    assert kept < 100
    # who set the allocator keeps what was set
    assert _faults("own", MALLOC_TRIM_THRESHOLD_="65536", **small) > 10 * kept


@pytest.mark.parametrize("given", [None, "0"])
def test_large_pages_are_asked_for_unless_they_were_refused(given):
    code = (
        "import os, sys; from elman.cli._process import own_process\n"
        "with own_process(): print(os.environ['THP_MEM_ALLOC_ENABLE'], 'torch' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    environment |= {} if given is None else {"THP_MEM_ALLOC_ENABLE": given}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    # before torch is there, which asks once
    assert done.stdout.split() == [given or "1", "False"]


# products of many shapes, as batches of many lengths have them
SHAPES = """
import mmap
from elman.cli._process import own_process
with own_process():
    import torch
weight = torch.randn(64, 512, dtype=torch.bfloat16)
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * mmap.PAGESIZE >> 20
torch.nn.functional.linear(torch.zeros(100, 512, dtype=torch.bfloat16), weight)
before = resident()
for rows in range(101, 701):
    torch.nn.functional.linear(torch.zeros(rows, 512, dtype=torch.bfloat16), weight)
print(resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory_does_not_grow_with_the_shapes_of_products():
    def megabytes(**given):
        names = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
        environment = {k: v for k, v in os.environ.items() if k not in names} | given
        done = subprocess.run(
            [sys.executable, "-c", SHAPES],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        return int(done.stdout)

    # who set them keeps what was set
    all_kept = megabytes(LRU_CACHE_CAPACITY="1024", ONEDNN_PRIMITIVE_CACHE_CAPACITY="1024")
    if all_kept < 50:
        pytest.skip(f"torch keeps {all_kept} MB for 600 shapes on this processor")
    assert megabytes() < 0.5 * all_kept


def test_garbage_is_collected_behind_the_imports_alone(tmp_path):
    (tmp_path / "bare.csv").write_text("text,label\n")
    code = (
        "import gc, sys; from elman.cli import main\n"
        "usual = gc.get_threshold()\n"
        "sys.argv = ['elman', 'train', 'classify', 'bare.csv', '--out', 'o']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'elman.tasks' in sys.modules\n"
        "assert gc.get_freeze_count() > 100_000\n"
        "assert gc.get_stats()[2]['collections'] == 0\n"
        "kept = [[] for _ in range(2_000_000)]\n"
        "assert gc.get_threshold() == usual and not gc.callbacks\n"
        "assert gc.get_stats()[2]['collections'] > 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
