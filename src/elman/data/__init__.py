"""Sequences in: readers, vocabularies, ragged batches, windows that carry state."""

from ._audio import Frontend, LogMel, Resampled, read_features, read_wav
from ._calendar import Calendar
from ._datasets import DATASETS, check_dataset
from ._first_part import first_part
from ._folders import Sorted, read_folders
from ._labelled import Columns, guess_columns, labelled_sequences, sequence_names
from ._notes import KEYS, keys_of, notes_column, notes_of, read_pieces
from ._pairs import (
    PairColumns,
    aligned_lines,
    guess_pair_columns,
    pairs_of_table,
    raw_texts,
    read_lines,
    read_pairs,
)
from ._running_text import running_text, running_texts
from ._sequences import (
    BucketBatches,
    Scaler,
    as_sequences,
    check_missing,
    deviation,
    fill_missing,
    forward_fill,
    pad,
)
from ._series import Series, SeriesColumns, as_series, guess_series_columns, series_of_table
from ._spans import Span, bio_rules, is_bio, may_follow, span_scores, spans_of
from ._starts import StartColumns, guess_start_columns, started_sequences
from ._table import as_table, column, is_table, read_table, table_of, text_column
from ._tagged import TagColumns, Tagged, read_tagged
from ._text import documents, fingerprint
from ._tokens import StreamWindows, TokenFile, Window
from ._ts import read_ts
from ._utterances import SpeechColumns, Spoken, features_of, read_utterances
from ._vocabulary import (
    END,
    UNKNOWN,
    CharacterVocabulary,
    SubwordVocabulary,
    TokenVocabulary,
    Vocabulary,
    WordVocabulary,
    fit_vocabulary,
    vocabulary_from_json,
)

__all__ = [
    "DATASETS",
    "END",
    "KEYS",
    "UNKNOWN",
    "BucketBatches",
    "Calendar",
    "CharacterVocabulary",
    "Columns",
    "Frontend",
    "LogMel",
    "PairColumns",
    "Resampled",
    "Scaler",
    "Series",
    "SeriesColumns",
    "Sorted",
    "Span",
    "SpeechColumns",
    "Spoken",
    "StartColumns",
    "StreamWindows",
    "SubwordVocabulary",
    "TagColumns",
    "Tagged",
    "TokenFile",
    "TokenVocabulary",
    "Vocabulary",
    "Window",
    "WordVocabulary",
    "aligned_lines",
    "as_sequences",
    "as_series",
    "as_table",
    "bio_rules",
    "check_dataset",
    "check_missing",
    "column",
    "deviation",
    "documents",
    "features_of",
    "fill_missing",
    "fingerprint",
    "first_part",
    "fit_vocabulary",
    "forward_fill",
    "guess_columns",
    "guess_pair_columns",
    "guess_series_columns",
    "guess_start_columns",
    "is_bio",
    "is_table",
    "keys_of",
    "labelled_sequences",
    "may_follow",
    "notes_column",
    "notes_of",
    "pad",
    "pairs_of_table",
    "raw_texts",
    "read_features",
    "read_folders",
    "read_lines",
    "read_pairs",
    "read_pieces",
    "read_table",
    "read_tagged",
    "read_ts",
    "read_utterances",
    "read_wav",
    "running_text",
    "running_texts",
    "sequence_names",
    "series_of_table",
    "span_scores",
    "spans_of",
    "started_sequences",
    "table_of",
    "text_column",
    "vocabulary_from_json",
]
