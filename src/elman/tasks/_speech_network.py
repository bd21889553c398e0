"""Speech: the network of the recognizer, its batches and its loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss
from torch.nn.functional import pad as padded

from elman.data import UNKNOWN, BucketBatches, pad
from elman.nn import ManyToMany, ctc_beam, ctc_greedy
from elman.ops import dropout
from elman.train import Loss

from ._options import ModelOptions, make_layers

BLANK = UNKNOWN
"""The symbol that stands for none: the vocabulary's unknown one, which no text has."""


class SpeechNetwork(nn.Module):
    """Frames, some side by side, recurrent layers over them, the scores of the symbols.

    Args:
        options: of the recurrent layers.
        features: of a frame.
        symbols: how many there are, the blank among them.
        bidirectional: whether the layers read from both ends.
        stack: frames that make one step.
    """

    def __init__(
        self,
        options: ModelOptions,
        features: int,
        symbols: int,
        *,
        bidirectional: bool,
        stack: int,
    ) -> None:
        super().__init__()
        layers = make_layers(options, features * stack, bidirectional=bidirectional)
        self.body = ManyToMany(layers, symbols, dropout=options.dropout)
        self.stack, self.input_dropout = stack, options.input_dropout

    def forward(self, x: Tensor, lengths: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """The log-probabilities (T', B, V) of the symbols, and the layers' state, for frames
        (T, B, I); of the steps, `steps(lengths)` are real.
        """
        steps = -(-len(x) // self.stack)
        x = padded(x, (0, 0, 0, 0, 0, steps * self.stack - len(x)))
        # (T, B, I) to (T', B, stack · I)
        x = x.unflatten(0, (steps, self.stack)).transpose(1, 2).flatten(2)
        x = dropout(x, self.input_dropout, self.training)
        scores, hx = self.body(x, hx, lengths=self.steps(lengths))
        return scores.log_softmax(-1), hx

    def steps(self, lengths: Any) -> Any:
        """Steps that so many frames make."""
        return -(-lengths // self.stack)


class Utterances:
    """Features with their texts, in batches of like length.

    Args:
        features: (T_i, I) each.
        texts: ids of the symbols, (S_i,); None where they are not known.
        batch_size: utterances in a batch.
        seed: of the order.
        shuffle: whether the order changes from epoch to epoch.
    """

    def __init__(
        self,
        features: Sequence[Any],
        texts: Sequence[Any] | None,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.features, self.texts = features, texts
        lengths = [len(one) for one in features]
        self.rows = BucketBatches(lengths, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def __len__(self) -> int:
        return len(self.rows)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches (frames, lengths, texts, their lengths) of an epoch."""
        assert self.texts is not None
        for rows in self.rows.epoch(epoch, start):
            yield (
                *pad([self.features[row] for row in rows]),
                *pad([self.texts[row] for row in rows]),
            )


class SpokenText:
    """Trains a recognizer by connectionist temporal classification.

    Args:
        module: the network.
        augment: whether stretches of time and bands of features are hidden in training.

    Reference:
        Graves et al. 2006, "Connectionist temporal classification", ICML; hiding: Park et al. 2019,
        https://arxiv.org/abs/1904.08779.
    """

    def __init__(self, module: SpeechNetwork, *, augment: bool = False) -> None:
        self.module, self.augment = module, augment

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The mean surprise of a text's symbol, in nats."""
        x, lengths, texts, text_lengths = batch
        device = self.module.body.head.weight.device
        x = x.to(device)
        if self.augment and self.module.training:
            x = hidden(x, lengths)
        log_p, _ = self.module(x, lengths)
        count = int(text_lengths.sum())
        total = ctc_loss(
            log_p,
            texts.T.to(device),
            self.module.steps(lengths),
            text_lengths,
            blank=BLANK,
            reduction="sum",
        )
        return Loss(total / count, count, None, count)


# stretches that are hidden of an utterance, the part of its time each may take, and the part of
# the features
_STRETCHES, _TIME, _BANDS = 2, 0.1, 0.25


def hidden(x: Tensor, lengths: Tensor) -> Tensor:
    """Frames (T, B, I) with stretches of time and a band of features set to zero, the mean."""
    steps, rows, features = x.shape
    time = torch.arange(steps)[:, None]
    kept = torch.ones(steps, rows, features, dtype=torch.bool)
    for _ in range(_STRETCHES):
        span = torch.rand(rows) * _TIME * lengths
        first = torch.rand(rows) * (lengths - span)
        kept &= ~((time >= first) & (time < first + span))[:, :, None]
    span = torch.rand(rows, 1) * _BANDS * features
    first = torch.rand(rows, 1) * (features - span)
    band = torch.arange(features)
    kept &= ~((band >= first) & (band < first + span))[None]
    return x * kept.to(x.device)


def recognized(
    module: SpeechNetwork, batches: Utterances, *, width: int
) -> list[tuple[tuple[int, ...], float]]:
    """The symbols of each utterance and their log-probability; a width of 1 takes the likeliest
    symbol of each step.
    """
    found: list[Any] = [None] * len(batches.features)
    device = module.body.head.weight.device
    with torch.inference_mode():
        for rows in batches.rows.epoch(0):
            x, lengths = pad([batches.features[row] for row in rows])
            log_p, _ = module(x.to(device), lengths)
            steps, log_p = module.steps(lengths), log_p.cpu()
            if width == 1:
                best = log_p.max(-1)[0]
                real = torch.arange(len(best))[:, None] < steps
                each = zip(ctc_greedy(log_p, steps), (best * real).sum(0).tolist(), strict=True)
            else:
                each = (one[0] for one in ctc_beam(log_p, steps, width=width))
            for row, one in zip(rows, each, strict=True):
                found[row] = one
    return found
