"""Sequences in: readers, vocabularies, ragged batches, windows that carry state."""

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
    "CharacterVocabulary",
    "StreamWindows",
    "SubwordVocabulary",
    "TokenFile",
    "Vocabulary",
    "Window",
    "WordVocabulary",
    "as_table",
    "column",
    "documents",
    "fingerprint",
    "read_table",
    "vocabulary_from_json",
]
