"""Many to one: the network of classifiers and regressors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from elman.data import BucketBatches, pad
from elman.nn import ManyToOne
from elman.ops import dropout
from elman.train import Loss, scan_tail

from ._options import ModelOptions, make_layers
from ._word_features import Sentence, WordFeatures, Words, words_of


class PooledNetwork(nn.Module):
    """Recurrent layers over a whole sequence, pooled into one vector, and a linear output.

    Args:
        options: of the recurrent layers.
        inputs: features of a step, or tokens of the vocabulary.
        words: what words are known by, besides as tokens; None for other sequences.
        outputs: classes, or targets.
        embedding_size: features of a token; None for numeric sequences.
        bidirectional: whether the layers read from both ends.
        pooling: "last", "mean", "max" or "attention".
        bptt: "full", "truncated" or "checkpointed".
        bptt_steps: through which gradients flow where they are truncated.
    """

    def __init__(
        self,
        options: ModelOptions,
        inputs: int,
        outputs: int,
        *,
        embedding_size: int | None,
        words: WordFeatures | None = None,
        bidirectional: bool,
        pooling: str,
        bptt: str = "full",
        bptt_steps: int = 100,
    ) -> None:
        super().__init__()
        self.words, self.embedding = words, None
        if words is None and embedding_size is not None:
            self.embedding = nn.Embedding(inputs, embedding_size)
        layers = make_layers(
            options,
            (embedding_size or inputs) if words is None else words.size,
            bidirectional=bidirectional,
            bptt="full" if bptt == "truncated" else bptt,
        )
        self.body = ManyToOne(layers, outputs, pooling=pooling, dropout=options.dropout)
        self.last_steps = bptt_steps if bptt == "truncated" else None
        self.input_dropout = options.input_dropout

    def forward(self, sequences: Tensor | Words, lengths: Tensor) -> Tensor:
        """The outputs (B, O) of padded sequences (T, B, I), (T, B) of tokens, or of words."""
        x = self._features(sequences)
        if self.training and self.input_dropout:
            # the same features are gone at every step of a sequence (Gal & Ghahramani 2016)
            x = x * dropout(torch.ones_like(x[:1]), self.input_dropout)
        if self.last_steps is not None and self.training:
            output = scan_tail(self.body.layers, x, lengths, self.last_steps)
            return self.body.summarise(output, lengths)
        return self.body(x, lengths)

    def _features(self, sequences: Tensor | Words) -> Tensor:
        """What the layers read, (T, B, I)."""
        if isinstance(sequences, Words):
            assert self.words is not None
            return self.words(sequences)
        return sequences if self.embedding is None else self.embedding(sequences)


class Examples:
    """Sequences with their targets, in batches of like length.

    Args:
        sequences: arrays (T_i, I), or (T_i,) of tokens, or sentences.
        targets: class numbers, or (N, O) numbers.
        batch_size: rows in a batch.
        seed: of the order.
        shuffle: whether the order changes from epoch to epoch.
    """

    def __init__(
        self,
        sequences: Sequence[Any],
        targets: Any,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
    ) -> None:
        self.sequences, self.targets = sequences, targets
        lengths = [len(s) for s in sequences]
        self.rows = BucketBatches(lengths, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def __len__(self) -> int:
        return len(self.rows)

    def epoch(self, epoch: int, start: int = 0) -> Any:
        """The batches (x, lengths, targets) of an epoch."""
        for rows in self.rows.epoch(epoch, start):
            x, lengths = batch_of([self.sequences[row] for row in rows])
            yield x, lengths, torch.as_tensor(np.asarray(self.targets)[rows])


def batch_of(sequences: Sequence[Any]) -> tuple[Any, Tensor]:
    """Sequences side by side, and their lengths."""
    if isinstance(sequences[0], Sentence):
        words = words_of(sequences)
        return words, words.lengths
    return pad(sequences)


class Supervised:
    """Trains a pooled network.

    Args:
        module: the network.
        weights: of the classes, or None; None as well for a regression.
        classes: whether the targets are class numbers.
        label_smoothing: the part of the target that is spread over all classes.
    """

    def __init__(
        self,
        module: PooledNetwork,
        *,
        classes: bool,
        weights: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        self.module, self.classes, self.weights = module, classes, weights
        self.label_smoothing = label_smoothing

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The mean cross entropy in nats, or the mean squared error."""
        x, lengths, target = batch
        device = self.module.body.head.weight.device
        output, target = self.module(x.to(device), lengths), target.to(device)
        if not self.classes:
            return Loss(mse_loss(output, target.to(output.dtype)), len(target), None, len(target))
        smoothing = self.label_smoothing
        value = cross_entropy(output, target, self.weights, label_smoothing=smoothing)
        # weighted means are over the sum of the weights
        weight = len(target) if self.weights is None else float(self.weights[target].sum())
        return Loss(value, weight, None, len(target))


def outputs_of(module: PooledNetwork, sequences: Sequence[Any], batch_size: int) -> Any:
    """The outputs (N, O) for sequences, in their order."""
    lengths = [len(s) for s in sequences]
    batches = BucketBatches(lengths, batch_size=batch_size, seed=0, shuffle=False)
    device = module.body.head.weight.device
    found: Any = np.zeros((len(sequences), module.body.head.out_features), dtype=np.float64)
    with torch.inference_mode():
        for rows in batches.epoch(0):
            x, counts = batch_of([sequences[row] for row in rows])
            found[rows] = module(x.to(device), counts).double().cpu().numpy()
    return found
