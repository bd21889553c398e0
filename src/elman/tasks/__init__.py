"""The tasks, each a scikit-learn style estimator."""

from ._adapting import Adaptation
from ._classifier import SequenceClassifier
from ._forecaster import Forecaster
from ._generator import SequenceGenerator
from ._language_model import LanguageModel
from ._listening import Listening
from ._load import TASKS, load
from ._ngram import NGram
from ._options import ModelOptions
from ._recognizer import SpeechRecognizer
from ._regressor import SequenceRegressor
from ._tagger import SequenceTagger
from ._translator import Translator

__all__ = [
    "TASKS",
    "Adaptation",
    "Forecaster",
    "LanguageModel",
    "Listening",
    "ModelOptions",
    "NGram",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceRegressor",
    "SequenceTagger",
    "SpeechRecognizer",
    "Translator",
    "load",
]
