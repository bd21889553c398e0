"""Elman: recurrent neural networks for people with sequences and an ordinary computer.

Names are imported on first use, so that `import elman` and `elman --help` cost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import cells, data, diagnostics, kernels, nn, ops, tasks, train
    from .nn import explain
    from .tasks import (
        Forecaster,
        LanguageModel,
        SequenceClassifier,
        SequenceGenerator,
        SequenceRegressor,
        SequenceTagger,
        SpeechRecognizer,
        Translator,
        load,
    )

    __version__: str

__all__ = [
    "Forecaster",
    "LanguageModel",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceRegressor",
    "SequenceTagger",
    "SpeechRecognizer",
    "Translator",
    "cells",
    "data",
    "diagnostics",
    "explain",
    "kernels",
    "load",
    "nn",
    "ops",
    "tasks",
    "train",
]

_HOME = {
    "Forecaster": "tasks",
    "LanguageModel": "tasks",
    "SequenceClassifier": "tasks",
    "SequenceGenerator": "tasks",
    "SequenceRegressor": "tasks",
    "SequenceTagger": "tasks",
    "SpeechRecognizer": "tasks",
    "Translator": "tasks",
    "explain": "nn",
    "load": "tasks",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("elman")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
