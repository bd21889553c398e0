"""elman doctor: what is installed and what runs here."""

import platform
from importlib.metadata import version
from typing import Annotated

import typer

from ._output import show

_PACKAGES = ("elman", "torch", "numpy", "pyarrow", "safetensors", "scikit-learn", "tokenizers")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    import torch

    from elman.ops import BACKENDS, native_kernels

    found = {"python": platform.python_version(), "system": platform.platform()}
    found |= {name: version(name) for name in _PACKAGES}
    found |= {
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "backends": ", ".join(BACKENDS[1:]),
        "native kernels": native_kernels(),
    }
    show(found, as_json=as_json)
