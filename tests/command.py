"""The command line as a person calls it: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ELMAN = str(Path(sys.executable).with_name("elman"))


def run(*arguments, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [ELMAN, *map(str, arguments)],
        capture_output=True, text=True, env=environment, check=False, **more,
    )  # fmt: skip


def refused(done, said):
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
