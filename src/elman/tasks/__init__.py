"""The tasks, each a scikit-learn style estimator."""

from ._language_model import LanguageModel
from ._load import TASKS, load
from ._ngram import NGram
from ._options import ModelOptions

__all__ = ["TASKS", "LanguageModel", "ModelOptions", "NGram", "load"]
