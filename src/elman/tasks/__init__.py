"""The tasks, each a scikit-learn style estimator."""

from ._classifier import SequenceClassifier
from ._forecaster import Forecaster
from ._language_model import LanguageModel
from ._load import TASKS, load
from ._ngram import NGram
from ._options import ModelOptions
from ._regressor import SequenceRegressor

__all__ = [
    "TASKS",
    "Forecaster",
    "LanguageModel",
    "ModelOptions",
    "NGram",
    "SequenceClassifier",
    "SequenceRegressor",
    "load",
]
