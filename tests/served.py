"""A process that has imported what commands import, and is copied for each of them."""

import atexit
import gc
import json
import os
import sys
from importlib import import_module
from pathlib import Path

COMMANDS = ["train", "evaluate", "predict", "generate", "inspect", "datasets", "demo", "doctor"]
# what they import when they need it, and what torch and typer do
LATE = [
    "jiwer", "kaldi_native_fbank", "matplotlib.backends.backend_agg", "matplotlib.figure",
    "pyarrow.csv", "pyarrow.json", "pyarrow.parquet", "sacrebleu", "scipy.io.wavfile",
    "scipy.signal", "scipy.stats", "sklearn.linear_model", "sklearn.pipeline", "tokenizers",
    "torch.fx.experimental.symbolic_shapes", "typer._adapters",
]  # fmt: skip


def prepare() -> None:
    """Imports it all, and starts no thread, which every copy would lack."""
    for name in (*(f"elman.cli._{name}" for name in COMMANDS), "elman.tasks", *LATE):
        import_module(name)
    threads = [*Path("/proc/self/task").iterdir()]
    assert len(threads) == 1, f"{len(threads)} threads after the imports"
    # what the collector touched, a copy would have to copy
    gc.freeze()


def serve() -> None:
    """Answers each line of the input, a command, with its exit code; returns in the copies."""
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            become(**json.loads(line))
            return
        status = os.waitpid(child, 0)[1]
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    sys.exit()


def become(arguments, folder, environment, stdout, stderr) -> None:
    """Makes this process the one that the command would have been started in."""
    for stream, (path, way) in enumerate(
        ((os.devnull, os.O_RDONLY), (stdout, os.O_WRONLY), (stderr, os.O_WRONLY))
    ):
        file = os.open(path, way)
        os.dup2(file, stream)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments


def run() -> None:
    """Ends as a process does, but for taking the modules apart: that would copy them all."""
    from elman.cli import main

    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    prepare()
    serve()
    run()
