"""One to many: the network of the generator, its batches, its losses, its writing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from elman.data import END, UNKNOWN, BucketBatches, pad
from elman.nn import OneToMany
from elman.train import Loss

from ._options import ModelOptions, make_layers


class GeneratorNetwork(nn.Module):
    """A vector, and the steps of a sequence that it starts.

    Args:
        options: of the recurrent layers.
        conditions: features of the vector.
        outputs: tokens of the vocabulary, or features of a step; a number more says for numbers
            whether the sequence is at its end.
        embedding_size: features of a token; None for numbers.
        how: the vector comes in: "state", "input" or "both".
    """

    def __init__(
        self,
        options: ModelOptions,
        conditions: int,
        outputs: int,
        *,
        embedding_size: int | None,
        how: str,
    ) -> None:
        super().__init__()
        self.embedding = None if embedding_size is None else nn.Embedding(outputs, embedding_size)
        size = outputs if embedding_size is None else embedding_size
        layers = make_layers(options, size + (0 if how == "state" else conditions))
        more = 1 if embedding_size is None else 0
        self.body = OneToMany(layers, conditions, outputs + more, how=how, dropout=options.dropout)

    def embedded(self, x: Tensor) -> Tensor:
        """What the layers read of tokens (…) or of numbers (…, O)."""
        return x if self.embedding is None else self.embedding(x)

    def forward(self, vector: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
        """The outputs behind each known step (T, B), or (T, B, O)."""
        return self.body(vector, self.embedded(x), lengths)


class StartedSequences:
    """Vectors and the sequences that they start, in batches of like length; each sequence has its
    start before it: the end token, or zeros.

    Args:
        vectors: (N, C).
        sequences: ids (T_i,), or numbers (T_i, O).
        batch_size: sequences in a batch.
        seed: of the order.
        shuffle: whether the order changes from epoch to epoch.
    """

    def __init__(
        self,
        vectors: Sequence[Any],
        sequences: Sequence[Any],
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.vectors, self.sequences = vectors, sequences
        lengths = [len(one) for one in sequences]
        self.rows = BucketBatches(lengths, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def __len__(self) -> int:
        return len(self.rows)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches (vectors, sequences, lengths) of an epoch."""
        for rows in self.rows.epoch(epoch, start):
            vectors = torch.from_numpy(np.stack([self.vectors[row] for row in rows]))
            yield vectors, *pad([started(self.sequences[row]) for row in rows])


def started(sequence: Any) -> Any:
    """A sequence with its start before it; tokens have the end behind them too."""
    if sequence.ndim == 1:
        return np.concatenate([[END], sequence, [END]])
    return np.concatenate([np.zeros_like(sequence[:1]), sequence])


class StartedLoss:
    """Trains a generator to tell each next step."""

    def __init__(self, module: GeneratorNetwork) -> None:
        self.module = module

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The mean surprise of a token in nats; or the mean squared error of a step, and the
        surprise of its being the last one.
        """
        vector, x, lengths = batch
        device = self.module.body.head.weight.device
        vector, x = vector.to(device), x.to(device)
        steps = lengths - 1
        real = (torch.arange(len(x) - 1)[:, None] < steps).to(device)
        output = self.module(vector, x[:-1], steps)[real]
        count = int(steps.sum())
        if x.ndim == 2:
            return Loss(cross_entropy(output, x[1:][real]), count, None, count)
        last = (torch.arange(len(x) - 1)[:, None] == steps - 1).to(device)[real]
        error = (output[:, :-1] - x[1:][real]).square().mean()
        ends = binary_cross_entropy_with_logits(output[:, -1], last.to(output.dtype))
        return Loss(error + ends, count, None, count)


class Started(NamedTuple):
    """Where the writing of sequences stands: their vectors, and the states."""

    vector: Tensor
    state: tuple[Tensor, ...] | None

    def select(self, rows: Tensor) -> Self:
        """The rows with these numbers."""
        state = self.state
        if state is not None:
            state = tuple(one.index_select(1, rows) for one in state)
        return type(self)(self.vector.index_select(0, rows), state)


def token_step(module: GeneratorNetwork) -> Any:
    """A step for the decoders of `elman.nn`: log-probabilities of the next token."""

    def step(tokens: Tensor, at: Started) -> tuple[Tensor, Started]:
        x = module.embedded(tokens.to(at.vector.device))
        scores, state = module.body.step(at.vector, x, at.state)
        scores[:, UNKNOWN] = -torch.inf
        return scores.log_softmax(-1), Started(at.vector, state)

    return step


def drawn_numbers(module: GeneratorNetwork, vectors: Tensor, steps: int) -> list[Any]:
    """The numbers (T_i, O) that each vector (N, C) starts, until the network says that they end or
    there are `steps`.
    """
    outputs = module.body.head.out_features - 1
    x = torch.zeros(len(vectors), outputs, device=vectors.device)
    state = module.body.start(vectors)
    told: list[Tensor] = []
    ended = torch.full((len(vectors),), steps)
    with torch.inference_mode():
        for step in range(steps):
            output, state = module.body.step(vectors, x, state)
            x = output[:, :-1]
            told.append(x)
            over = (output[:, -1] > 0).cpu() & (ended == steps)
            ended[over] = step + 1
            if bool((ended < steps).all()):
                break
    block = torch.stack(told, 1).cpu().numpy()
    return [one[:length] for one, length in zip(block, ended.tolist(), strict=True)]
