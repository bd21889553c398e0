"""Many to many, aligned: the network of the tagger, and what it tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from elman.data import BucketBatches, pad
from elman.nn import CRF, ManyToMany, Pooling
from elman.ops import dropout
from elman.train import Loss

from ._options import ModelOptions, make_layers
from ._tagger_answers import Answer
from ._word_features import Sentence, WordFeatures, Words, words_of


class TaggerNetwork(nn.Module):
    """Word and character features, recurrent layers over the sentence, the scores of the tags; and
    those of the sentence's label, from the greatest output of each unit.

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
        clash: what a tag (column) costs in a sentence of a label (row), (L, K); no rows where
            sentences have no labels.

    Reference:
        Lample et al. 2016, https://arxiv.org/abs/1603.01360; a label beside the tags as in Zhang &
        Wang 2016, "A joint model of intent determination and slot filling for spoken language
        understanding", IJCAI.
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
        clash: Tensor,
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
        self.pooling, self.label_head = Pooling("max", self.body.head.in_features), None
        if len(clash):
            self.label_head = nn.Linear(self.body.head.in_features, len(clash))
        self.clash: Tensor
        # known from the tags and labels of training, not learned
        self.register_buffer("clash", clash, persistent=False)

    def forward(self, words: Words) -> Tensor:
        """The scores of the tags, (T, B, K)."""
        return self.scores(words)[0]

    def scores(self, words: Words) -> tuple[Tensor, Tensor | None]:
        """The scores of the tags, (T, B, K), and those of the labels, (B, L); None without any."""
        features = dropout(self.words(words), self.dropout, self.training)
        output, _ = self.body.layers(features, lengths=words.lengths)
        tags = self.body.read_out(output)
        if self.label_head is None:
            return tags, None
        summary = self.pooling(output, words.lengths)
        return tags, self.label_head(dropout(summary, self.body.dropout, self.training))

    @torch.no_grad()
    def tell(self, words: Words) -> tuple[Tensor, Tensor | None]:
        r"""The likeliest tags, (T, B), and labels, (B,); None without any.

        A label is told with all the tags that it may come with, and the tags with the label:

        .. math::
            l = \operatorname{argmax}_l\; p(l) \sum_y p(y) e^{-\sum_t c_{l, y_t}}, \qquad
            y = \operatorname{argmax}_y\; p(y) e^{-\sum_t c_{l, y_t}}

        with c from `clash`.
        """
        tags, labels = self.scores(words)
        if labels is None:
            return self._likeliest(tags, words.lengths), None
        fits = [self._log_partition(tags - cost, words.lengths) for cost in self.clash]
        label = (labels + torch.stack(fits, -1)).argmax(-1)
        return self._likeliest(tags - self.clash[label], words.lengths), label

    def _likeliest(self, scores: Tensor, lengths: Tensor) -> Tensor:
        return scores.argmax(-1) if self.crf is None else self.crf.decode(scores, lengths)

    def _log_partition(self, scores: Tensor, lengths: Tensor) -> Tensor:
        if self.crf is not None:
            return self.crf.log_partition(scores, lengths)
        real = torch.arange(len(scores), device=scores.device)[:, None] < lengths.to(scores.device)
        return (scores.logsumexp(-1) * real).sum(0)


class Sentences:
    """Sentences with their answers, in batches of like length.

    Args:
        sentences: the sentences.
        answers: for each sentence, in numbers; None where they are not known.
        batch_size: sentences in a batch.
        seed: of the order.
        shuffle: whether the order changes from epoch to epoch.
    """

    def __init__(
        self,
        sentences: Sequence[Sentence],
        answers: Sequence[Answer] | None,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.sentences, self.answers = sentences, answers
        lengths = [len(one) for one in sentences]
        self.rows = BucketBatches(lengths, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def __len__(self) -> int:
        return len(self.rows)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches (words, tags, labels) of an epoch; labels are None where there are none."""
        known = self.answers
        if known is None:
            raise ValueError("Sentences: there are no answers to give; give them.")
        for rows in self.rows.epoch(epoch, start):
            answers: list[Any] = [known[row] for row in rows]
            tags, _ = pad([one.tags for one in answers])
            labels = None
            if answers[0].label is not None:
                labels = torch.tensor([one.label for one in answers])
            yield words_of([self.sentences[row] for row in rows]), tags, labels


class TagLoss:
    """Trains a tagger's network.

    Args:
        module: the network.
        label_weight: of a label's cross entropy beside that of a word's tag.
    """

    def __init__(self, module: TaggerNetwork, label_weight: float) -> None:
        self.module, self.label_weight = module, label_weight

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The mean surprise of a word's tag and, weighed, of a sentence's label, in nats."""
        words, tags, labels = batch
        device = self.module.body.head.weight.device
        scores, label_scores = self.module.scores(words.to(device))
        tags = tags.to(device)
        count = int(words.lengths.sum())
        if self.module.crf is not None:
            value = self.module.crf(scores, tags, words.lengths).sum() / count
        else:
            real = torch.arange(len(tags))[:, None] < words.lengths
            value = cross_entropy(scores[real.to(device)], tags[real.to(device)])
        if label_scores is not None:
            value = value + self.label_weight * cross_entropy(label_scores, labels.to(device))
        return Loss(value, count, None, count)


def told_by(
    module: TaggerNetwork, batches: Sentences
) -> Iterator[tuple[Any, Tensor, Tensor, Tensor | None]]:
    """Of each batch its row numbers, its lengths, and the likeliest tags and labels."""
    device = module.body.head.weight.device
    with torch.inference_mode():
        for rows in batches.rows.epoch(0):
            words = words_of([batches.sentences[row] for row in rows])
            yield rows, words.lengths, *module.tell(words.to(device))
