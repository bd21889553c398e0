"""Many to many, aligned: the network of the tagger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

from elman.data import BucketBatches, pad
from elman.nn import CRF, ManyToMany
from elman.train import Loss

from ._options import ModelOptions, make_layers
from ._word_features import Sentence, WordFeatures, Words, words_of


class TaggerNetwork(nn.Module):
    """Word and character features, recurrent layers over the sentence, the scores of the tags.

    Args:
        options: of the recurrent layers.
        words: size of the vocabulary.
        characters: how many are known.
        tags: how many there are.
        embedding_size: features of a word.
        character_size: units of the layer over the characters, for each direction; 0 for none.
        bidirectional: whether the layers read from both ends.
        word_dropout: probability with which a word is taken for an unknown one.
        rare_word_dropout: how much more so a rare one; see `WordFeatures`.
        character_dropout: on the features of a character; None for the options' dropout.
        counts: of the words in training; None where nothing is trained.
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
        rare_word_dropout: float,
        character_dropout: float | None,
        counts: Any,
        crf: CRF | None,
    ) -> None:
        super().__init__()
        self.words = WordFeatures(
            options,
            words,
            characters,
            embedding_size=embedding_size,
            character_size=character_size,
            word_dropout=word_dropout,
            rare_word_dropout=rare_word_dropout,
            character_dropout=character_dropout,
            counts=counts,
        )
        layers = make_layers(options, self.words.size, bidirectional=bidirectional)
        self.body = ManyToMany(layers, tags, dropout=options.dropout)
        self.crf = crf
        self.dropout = max(options.dropout, options.input_dropout)

    def forward(self, words: Words) -> Tensor:
        """The scores of the tags, (T, B, K)."""
        features = dropout(self.words(words), self.dropout, self.training)
        return self.body(features, lengths=words.lengths)[0]


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


class TagLoss:
    """Trains a tagger's network."""

    def __init__(self, module: TaggerNetwork) -> None:
        self.module = module

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The mean surprise of a word's tag, in nats."""
        words, tags = batch
        device = self.module.body.head.weight.device
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
    device = module.body.head.weight.device
    with torch.inference_mode():
        for rows in batches.rows.epoch(0):
            words = words_of([batches.sentences[row] for row in rows])
            yield rows, words, module(words.to(device))
