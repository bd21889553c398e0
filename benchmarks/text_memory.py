"""Peak memory of a training on a text of 500 MB.

    python benchmarks/text_memory.py

The text is what Python's own documentation says, over and over. Writes `results/text_memory.json`.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SIZE = 500_000_000


def main() -> None:
    """Makes the text, trains on it for fifty steps, and tells the peak of the memory."""
    from pydoc_data.topics import topics

    lines = [f"{line}\n" for text in topics.values() for line in text.splitlines()]
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text.txt"
        with file.open("w") as stream:
            while stream.tell() < SIZE:
                stream.write("".join(rng.choices(lines, k=100_000)))
        command = [
            str(Path(sys.executable).with_name("elman")), "train", "language-model", str(file),
            "--out", f"{folder}/run", "--level", "characters", "--hidden", "256", "--layers", "2",
            "--max-steps", "50", "--set", "task.validation_fraction=0", "--json",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        size = file.stat().st_size
    # in KiB on Linux
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    found = {"text_bytes": size, "peak_gb": round(peak / 1e9, 3)}
    (HERE / "results" / "text_memory.json").write_text(json.dumps(found, indent=2) + "\n")
    print(found)


if __name__ == "__main__":
    main()
