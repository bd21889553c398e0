"""Sequences in: readers, vocabularies, ragged batches, windows that carry state."""

from ._calendar import Calendar
from ._labelled import Columns, guess_columns, labelled_sequences
from ._sequences import BucketBatches, Scaler, as_sequences, fill_missing, forward_fill, pad
from ._series import Series, SeriesColumns, as_series, guess_series_columns, series_of_table
from ._table import as_table, column, read_table, table_of
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
    "Calendar",
    "CharacterVocabulary",
    "Columns",
    "Scaler",
    "Series",
    "SeriesColumns",
    "StreamWindows",
    "SubwordVocabulary",
    "TokenFile",
    "Vocabulary",
    "Window",
    "WordVocabulary",
    "as_sequences",
    "as_series",
    "as_table",
    "column",
    "documents",
    "fill_missing",
    "fingerprint",
    "forward_fill",
    "guess_columns",
    "guess_series_columns",
    "labelled_sequences",
    "pad",
    "read_table",
    "series_of_table",
    "table_of",
    "vocabulary_from_json",
]
