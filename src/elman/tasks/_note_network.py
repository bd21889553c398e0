"""Polyphonic music: the network of a language model over keys, its batches, its loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as surprise_of

from elman.data import KEYS, BucketBatches, pad
from elman.nn import ManyToMany
from elman.ops import dropout
from elman.train import Loss

from ._options import ModelOptions, make_layers


class NoteNetwork(nn.Module):
    """Recurrent layers over the keys that sound, and the score of every key at the next step.

    Args:
        options: of the recurrent layers.
    """

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        layers = make_layers(options, KEYS)
        self.body = ManyToMany(layers, KEYS, dropout=options.dropout)
        # of the keys about four sound at a time
        nn.init.constant_(self.body.head.bias, -3.0)
        self.input_dropout = options.input_dropout

    def forward(self, x: Tensor, hx: Any = None, lengths: Tensor | None = None) -> Any:
        """The scores (T, B, 88) of the keys behind each step of x (T, B, 88), and the state."""
        if self.training and self.input_dropout:
            # the same keys are gone at every step of a piece (Gal & Ghahramani 2016)
            x = x * dropout(torch.ones_like(x[:1]), self.input_dropout)
        return self.body(x, hx, lengths=lengths)


class Pieces:
    """Pieces in batches of like length, each with a silent step before it.

    Args:
        pieces: which keys sound, (T_i, 88) of 0 and 1.
        batch_size: pieces in a batch.
        transpose: semitones that a piece is moved by at most, up or down, anew in every epoch;
            fewer where a key would leave the keyboard.
        seed: of the order, and of the moves.
        shuffle: whether the order changes from epoch to epoch.
    """

    def __init__(
        self,
        pieces: Sequence[Any],
        *,
        batch_size: int,
        transpose: int = 0,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.pieces, self.transpose, self.seed = pieces, transpose, seed
        lengths = [len(one) for one in pieces]
        self.rows = BucketBatches(lengths, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def __len__(self) -> int:
        return len(self.rows)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches (pieces, lengths with the silent step) of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        moves = rng.integers(-self.transpose, self.transpose, len(self.pieces), endpoint=True)
        for rows in self.rows.epoch(epoch, start):
            pieces = [transposed(self.pieces[row], int(moves[row])) for row in rows]
            yield pad([after_silence(one) for one in pieces])


def after_silence(piece: Any) -> Any:
    """A piece (T, 88) with the silent step before it that its first step is told from."""
    return np.concatenate([np.zeros((1, KEYS), piece.dtype), piece])


def transposed(piece: Any, semitones: int) -> Any:
    """A piece (T, 88) moved by so many semitones, or as many as the keyboard has room for."""
    (played,) = piece.any(0).nonzero()
    if not semitones or not len(played):
        return piece
    move = max(-int(played[0]), min(semitones, KEYS - 1 - int(played[-1])))
    # what is rolled over the edge is silent
    return np.roll(piece, move, 1)


class NextNotes:
    """Trains a network to tell which keys sound at the next step."""

    def __init__(self, module: NoteNetwork) -> None:
        self.module = module

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The mean surprise of a step, all its keys together, in nats."""
        scores, target, real = _told(self.module, *batch)
        steps = int(real.sum())
        value = surprise_of(scores[real], target[real], reduction="sum")
        return Loss(value / steps, steps, None, steps)


def _told(module: NoteNetwork, pieces: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The scores of the steps (T, B, 88) of a batch, which keys sound there, and which steps are
    real (T, B).
    """
    device = module.body.head.weight.device
    pieces, steps = pieces.to(device), lengths - 1
    scores, _ = module(pieces[:-1], lengths=steps)
    real = torch.arange(len(scores))[:, None] < steps
    return scores, pieces[1:], real.to(device)


def figures_of(module: NoteNetwork, pieces: Sequence[Any], batch_size: int) -> dict[str, float]:
    """How well a network tells the steps of pieces, all steps together.

    Returns:
        "loss", the surprise in nats of a step that has one before it, all its keys together;
        "loss_with_first", that of all steps; "accuracy" and "f1" of the notes that are likelier
        than not, of the steps of "loss"; and "held_out_steps", how many those are.

    Reference:
        Boulanger-Lewandowski et al. 2012, https://arxiv.org/abs/1206.6392 (the measure); Bai et al.
        2018, https://arxiv.org/abs/1803.01271 (the mean over all steps that have one before them);
        Bay et al. 2009 (the accuracy, right / (right + wrong + missed)).
    """
    surprise = first = 0.0
    steps = right = wrong = missed = 0
    with torch.inference_mode():
        for batch in Pieces(pieces, batch_size=batch_size, shuffle=False).epoch(0):
            scores, target, real = _told(module, *batch)
            losses = surprise_of(scores.double(), target.double(), reduction="none").sum(-1)
            first += float(losses[0].sum())
            real, losses, sounds, told = real[1:], losses[1:], target[1:] > 0, scores[1:] > 0
            surprise, steps = surprise + float(losses[real].sum()), steps + int(real.sum())
            right += int((told & sounds)[real].sum())
            wrong += int((told & ~sounds)[real].sum())
            missed += int((sounds & ~told)[real].sum())
    faults = wrong + missed
    return {
        "loss": surprise / steps,
        "loss_with_first": (surprise + first) / (steps + len(pieces)),
        "accuracy": right / max(right + faults, 1),
        "f1": 2 * right / max(2 * right + faults, 1),
        "held_out_steps": steps,
    }
