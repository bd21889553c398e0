"""Many to many, aligned: the network of the tagger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

from elman.data import BucketBatches, pad
from elman.nn import CRF, ManyToMany, Recurrent
from elman.train import Loss

from ._options import ModelOptions, make_layers

UNKNOWN = 0
# features of a character
_CHARACTER = 32


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


class TaggerNetwork(nn.Module):
    """Word and character features, recurrent layers over the sentence, the scores of the tags.

    A word is its embedding beside what layers of both directions made of its characters. In
    training a word is now and then taken for an unknown one, so that its characters have to tell.

    Args:
        options: of the recurrent layers.
        words: size of the vocabulary.
        characters: how many are known.
        tags: how many there are.
        embedding_size: features of a word.
        character_size: units of the layer over the characters, for each direction; 0 for none.
        bidirectional: whether the layers read from both ends.
        word_dropout: probability with which a word is taken for an unknown one.
        crf: what makes a sequence of tags of their scores; None to take each by itself.

    Reference:
        Lample et al. 2016, https://arxiv.org/abs/1603.01360
    """

    def __init__(
        self,
        options: ModelOptions,
        words: int,
        characters: int,
        tags: int,
        *,
        embedding_size: int,
        character_size: int,
        bidirectional: bool,
        word_dropout: float,
        crf: CRF | None,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding_size)
        self.characters = self.spelling = None
        if character_size:
            self.characters = nn.Embedding(characters, _CHARACTER)
            self.spelling: Recurrent | None = make_layers(
                options, _CHARACTER, hidden_size=character_size, num_layers=1, bidirectional=True
            )
        size = embedding_size + 2 * character_size
        layers = make_layers(options, size, bidirectional=bidirectional)
        self.body = ManyToMany(layers, tags, dropout=options.dropout)
        self.crf = crf
        self.dropout = max(options.dropout, options.input_dropout)
        self.word_dropout = word_dropout

    def forward(self, words: Words) -> Tensor:
        """The scores of the tags, (T, B, K)."""
        ids = words.ids
        if self.training and self.word_dropout:
            gone = torch.rand(ids.shape, device=ids.device) < self.word_dropout
            ids = ids.masked_fill(gone, UNKNOWN)
        features = self.embedding(ids)
        if self.characters is not None and self.spelling is not None:
            spelled = dropout(self.characters(words.spelled), self.dropout, self.training)
            _, final = self.spelling(spelled, lengths=words.spelled_lengths)
            h = final[0] if isinstance(final, tuple) else final
            features = torch.cat([features, torch.cat([*h], -1)[words.which]], -1)
        features = dropout(features, self.dropout, self.training)
        return self.body(features, lengths=words.lengths)[0]


class Sentence(NamedTuple):
    """The ids of a sentence's words, (T,), and the characters of each; the same word is the same
    array.
    """

    ids: Any
    spelled: list[Any]

    def __len__(self) -> int:
        return len(self.ids)

    def first(self, words: int) -> Sentence:
        """The first so many words."""
        return Sentence(self.ids[:words], self.spelled[:words])


class Sentences:
    """Sentences with their tags, in batches of like length.

    Args:
        sentences: the sentences.
        tags: numbers of the tags of each sentence; None where they are not known.
        batch_size: sentences in a batch.
        seed: of the order.
        shuffle: whether the order changes from epoch to epoch.
    """

    def __init__(
        self,
        sentences: Sequence[Sentence],
        tags: Sequence[Any] | None,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.sentences, self.tags = sentences, tags
        lengths = [len(one) for one in sentences]
        self.rows = BucketBatches(lengths, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def __len__(self) -> int:
        return len(self.rows)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches (words, tags) of an epoch."""
        for rows in self.rows.epoch(epoch, start):
            tags = None if self.tags is None else pad([self.tags[row] for row in rows])[0]
            yield words_of([self.sentences[row] for row in rows]), tags


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


class TagLoss:
    """Trains a tagger's network."""

    def __init__(self, module: TaggerNetwork) -> None:
        self.module = module

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The mean surprise of a word's tag, in nats."""
        words, tags = batch
        device = self.module.embedding.weight.device
        scores, tags = self.module(words.to(device)), tags.to(device)
        count = int(words.lengths.sum())
        if self.module.crf is not None:
            value = self.module.crf(scores, tags, words.lengths).sum() / count
        else:
            real = torch.arange(len(tags))[:, None] < words.lengths
            value = cross_entropy(scores[real.to(device)], tags[real.to(device)])
        return Loss(value, count, None, count)


def tag_scores(module: TaggerNetwork, batches: Sentences) -> Iterator[tuple[Any, Words, Tensor]]:
    """The scores (T, B, K) of each batch, with its row numbers and its words."""
    device = module.embedding.weight.device
    with torch.inference_mode():
        for rows in batches.rows.epoch(0):
            words = words_of([batches.sentences[row] for row in rows])
            yield rows, words, module(words.to(device))
