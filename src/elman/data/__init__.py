"""Sequences in: readers, vocabularies, ragged batches, windows that carry state."""

from ._labelled import Columns, guess_columns, labelled_sequences
from ._sequences import BucketBatches, Scaler, as_sequences, fill_missing, forward_fill, pad
from ._table import as_table, column, read_table
from ._text import documents, fingerprint
from ._tokens import StreamWindows, TokenFile, Window
from ._vocabulary import (
    CharacterVocabulary,
    SubwordVocabulary,
    Vocabulary,
    WordVocabulary,
    vocabulary_from_json,
)

__all__ = [
    "BucketBatches",
    "CharacterVocabulary",
    "Columns",
    "Scaler",
    "StreamWindows",
    "SubwordVocabulary",
    "TokenFile",
    "Vocabulary",
    "Window",
    "WordVocabulary",
    "as_sequences",
    "as_table",
    "column",
    "documents",
    "fill_missing",
    "fingerprint",
    "forward_fill",
    "guess_columns",
    "labelled_sequences",
    "pad",
    "read_table",
    "vocabulary_from_json",
]
