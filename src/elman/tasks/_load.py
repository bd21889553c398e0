"""Opens a run folder."""

from pathlib import Path
from typing import Any

from elman.train import Run

from ._classifier import SequenceClassifier
from ._forecaster import Forecaster
from ._generator import SequenceGenerator
from ._language_model import LanguageModel
from ._recognizer import SpeechRecognizer
from ._regressor import SequenceRegressor
from ._tagger import SequenceTagger
from ._translator import Translator

_ESTIMATORS = (
    Forecaster,
    LanguageModel,
    SequenceClassifier,
    SequenceGenerator,
    SequenceRegressor,
    SequenceTagger,
    SpeechRecognizer,
    Translator,
)
TASKS: dict[str, Any] = {one.task: one for one in _ESTIMATORS}
"""The estimators by the names of their tasks."""


def load(path: str | Path, *, device: str = "auto") -> Any:
    """Opens a run folder as the fitted estimator; nothing in the folder is executed.

    Args:
        path: the folder.
        device: where to put the model.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it is not a finished run, or it is damaged or of a newer format; the text says
            which.

    Example:
        >>> import tempfile, elman
        >>> model = elman.LanguageModel(hidden_size=8, epochs=1)
        >>> model = model.fit(["some text, again and again. " * 9])
        >>> folder = tempfile.mkdtemp()
        >>> model.save(folder)
        >>> elman.load(folder).results_ == model.results_
        True
    """
    run = Run.open(path)
    task = run.config.get("task")
    if task not in TASKS:
        raise ValueError(
            f"{path}: the task {task!r} is not known to this version of elman; upgrade elman."
        )
    if not run.finished:
        raise ValueError(
            f"{path}: the training has not finished; give the command that started it again."
        )
    made = TASKS[task]
    known = made().get_params(deep=False)
    unknown = sorted(set(run.config["params"]) - set(known))
    if unknown:
        raise ValueError(
            f"{path}: config.json has the unknown option {unknown[0]!r}; upgrade elman."
        )
    estimator = made(**run.config["params"])
    estimator.device = device
    estimator._reopen(run)  # pyright: ignore[reportPrivateUsage]
    return estimator
