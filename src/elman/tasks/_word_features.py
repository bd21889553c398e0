"""Words by what they are and by how they are spelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from elman.data import UNKNOWN, pad
from elman.nn import Recurrent
from elman.ops import dropout, is_number

from ._options import ModelOptions, check_part, make_layers

# features of a character
_CHARACTER = 32
# of a word's features at the start: a word that is seen a few times adds little that is by chance
_DEVIATION = 0.1


@dataclass(frozen=True)
class Words:
    """The words of sentences side by side.

    Args:
        ids: of the words, (T, B).
        lengths: of the sentences, (B,).
        spelled: the characters of each different word of the batch, (C, N).
        spelled_lengths: of the words, (N,).
        which: of these words each is, (T, B).
    """

    ids: Tensor
    lengths: Tensor
    spelled: Tensor
    spelled_lengths: Tensor
    which: Tensor

    def to(self, device: torch.device) -> Words:
        """The same on a device; lengths stay where they are."""
        return Words(
            self.ids.to(device),
            self.lengths,
            self.spelled.to(device),
            self.spelled_lengths,
            self.which.to(device),
        )


@dataclass(frozen=True)
class Sentence:
    """The ids of a sentence's words, (T,), and the characters of each; the same word is the same
    array.
    """

    ids: Any
    spelled: list[Any]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: slice) -> Sentence:
        return Sentence(self.ids[part], self.spelled[part])


def words_of(sentences: Sequence[Sentence]) -> Words:
    """Sentences side by side, each different word spelled once."""
    ids, lengths = pad([one.ids for one in sentences])
    numbers: dict[int, int] = {}
    spelled: list[Any] = []
    which = torch.zeros_like(ids)
    for b, sentence in enumerate(sentences):
        mine: list[int] = []
        for characters in sentence.spelled:
            number = numbers.setdefault(id(characters), len(spelled))
            if number == len(spelled):
                spelled.append(characters)
            mine.append(number)
        which[: len(mine), b] = torch.tensor(mine)
    block, spelled_lengths = pad(spelled)
    return Words(ids, lengths, block, spelled_lengths, which)


class WordFeatures(nn.Module):
    """A word's embedding beside what layers of both directions made of its characters.

    In training a word is now and then taken for an unknown one, so that its characters have to
    tell.

    Args:
        options: of the recurrent layers.
        words: size of the vocabulary.
        characters: how many are known.
        embedding_size: features of a word.
        character_size: units of the layer over the characters, for each direction; 0 for none.
        word_dropout: probability with which a word is taken for an unknown one.
        rare_word_dropout: a: a word that training has n times is taken for an unknown one with
            probability a / (a + n) too.
        character_dropout: on the features of a character; None for the options' dropout.
        counts: n of each word of the vocabulary; None where nothing is trained.

    Reference:
        Lample et al. 2016, https://arxiv.org/abs/1603.01360; rare words as in Kiperwasser &
        Goldberg 2016, https://arxiv.org/abs/1603.04351.
    """

    gone: Tensor

    def __init__(
        self,
        options: ModelOptions,
        words: int,
        characters: int,
        *,
        embedding_size: int,
        character_size: int,
        word_dropout: float,
        rare_word_dropout: float = 0.0,
        character_dropout: float | None = None,
        counts: Any = None,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding_size)
        nn.init.normal_(self.embedding.weight, std=_DEVIATION)
        self.characters = self.spelling = None
        if character_size:
            self.characters = nn.Embedding(characters, _CHARACTER)
            self.spelling: Recurrent | None = make_layers(
                options, _CHARACTER, hidden_size=character_size, num_layers=1, bidirectional=True
            )
        self.size = embedding_size + 2 * character_size
        usual = max(options.dropout, options.input_dropout)
        self.dropout = usual if character_dropout is None else character_dropout
        kept = torch.full((words,), 1.0 - word_dropout)
        if rare_word_dropout and counts is not None:
            n = torch.as_tensor(counts, dtype=kept.dtype)
            kept *= n / (n + rare_word_dropout)
        # of the training, not of the model
        self.register_buffer("gone", 1 - kept, persistent=False)

    def forward(self, words: Words) -> Tensor:
        """The features (T, B, size)."""
        ids = words.ids
        if self.training:
            gone = torch.rand(ids.shape, device=ids.device) < self.gone[ids]
            ids = ids.masked_fill(gone, UNKNOWN)
        features = self.embedding(ids)
        if self.characters is None or self.spelling is None:
            return features
        spelled = dropout(self.characters(words.spelled), self.dropout, self.training)
        _, final = self.spelling(spelled, lengths=words.spelled_lengths)
        h = final[0] if isinstance(final, tuple) else final
        return torch.cat([features, torch.cat([*h], -1)[words.which]], -1)


def check_word_dropouts(estimator: Any) -> None:
    """Refuses what can be no dropout of words or of their characters.

    Raises:
        ValueError: it cannot be.
    """
    where, rare = type(estimator).__name__, estimator.rare_word_dropout
    if not is_number(rare) or not 0 <= rare < float("inf"):
        raise ValueError(f"{where}: rare_word_dropout={rare!r}; give a number, 0 or above.")
    check_part(estimator, where, "word_dropout", or_none=("character_dropout",))
