"""The command line as a person calls it.

`run` copies a process that has done the imports, which take longer than most commands do. The copy
has the arguments, folder, environment and output of a process that was started for the command,
runs the same function and ends the same way; what it lacks is the start itself. `process` starts
one: for what happens before or during the imports, for what an environment variable says to a
library when it is imported, for limits that are set between fork and exec, and for signals.
What a command imports by itself is proved by the documentation's commands, which are processes.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ELMAN = str(Path(sys.executable).with_name("elman"))
# before a test changes it; without the threads that numpy's products and pyarrow's allocator would
# start
_ENVIRONMENT = {
    **os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}  # fmt: skip


def process(*arguments, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [ELMAN, *map(str, arguments)],
        capture_output=True, text=True, env=environment, check=False, **more,
    )  # fmt: skip


def run(*arguments, cwd="."):
    # torch is sure to survive a fork there alone
    if sys.platform != "linux":
        return process(*arguments, cwd=cwd)
    command = [ELMAN, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        for file in files:
            file.touch()
        code = _server().ask(
            arguments=command, folder=str(Path(cwd).resolve()), environment=environment,
            stdout=str(files[0]), stderr=str(files[1]),
        )  # fmt: skip
        return subprocess.CompletedProcess(command, code, *(file.read_text() for file in files))


class _Server:
    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("served.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT,
        )  # fmt: skip

    def ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that is copied has ended"
        return int(answer)

    def end(self):
        """Waits for it, for it has coverage to write."""
        self._process.communicate()


@cache
def _server():
    return _Server()


def end():
    """Ends what was started."""
    if _server.cache_info().currsize:
        _server().end()


def refused(done, said):
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
