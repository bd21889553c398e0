"""Many to many, unaligned: pairs in batches, how they are learned, how they are measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from elman.data import END, UNKNOWN, BucketBatches, pad
from elman.nn import EncoderDecoder, Hypothesis, beam_search
from elman.train import Loss


class PairBatches:
    """Sources and targets, in batches of like length.

    Args:
        sources: ids of the tokens, (S_i,).
        targets: ids of the tokens, (T_i,), without the end.
        batch_size: pairs in a batch.
        seed: of the order.
        shuffle: whether the order changes from epoch to epoch.
    """

    def __init__(
        self,
        sources: Sequence[Any],
        targets: Sequence[Any],
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.sources, self.targets = sources, targets
        lengths = [len(one) for one in sources]
        self.rows = BucketBatches(lengths, batch_size=batch_size, seed=seed, shuffle=shuffle)

    def __len__(self) -> int:
        return len(self.rows)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches (source, lengths, target, target lengths) of an epoch; a target has the end
        before and behind it.
        """
        for rows in self.rows.epoch(epoch, start):
            ended = [np.concatenate([[END], self.targets[row], [END]]) for row in rows]
            yield *pad([self.sources[row] for row in rows]), *pad(ended)


class PairLoss:
    """Trains an encoder and decoder.

    Args:
        module: the network.
        smoothing: the part of the probability that is asked for all other tokens together.
        teacher: probability with which a step reads the true token rather than what was told.
    """

    def __init__(
        self, module: EncoderDecoder, *, smoothing: float = 0.0, teacher: float = 1.0
    ) -> None:
        self.module, self.smoothing, self.teacher = module, smoothing, teacher

    def loss(self, batch: Any, carry: Any) -> Loss:
        """The mean surprise of a target's token, in nats."""
        source, lengths, target, target_lengths = batch
        device = self.module.head.weight.device
        source, target = source.to(device), target.to(device)
        # what is told are the tokens behind the first one
        steps = target_lengths - 1
        real = (torch.arange(len(target) - 1)[:, None] < steps).to(device)
        if self.teacher < 1:
            scores = self.module.unroll(source, lengths, target[:-1], teacher=self.teacher)[real]
        else:
            at = self.module.read(source, lengths)
            # the output layer is the larger part of the work: real steps alone
            scores = self.module.head(self.module.features(at, target[:-1], steps)[0][real])
        value = cross_entropy(scores, target[1:][real], label_smoothing=self.smoothing)
        count = int(steps.sum())
        return Loss(value, count, None, count)


def translated(
    module: EncoderDecoder,
    sources: Sequence[Any],
    *,
    batch_size: int,
    steps: int | None,
    width: int,
    alpha: float,
    best: int,
) -> list[list[Hypothesis]]:
    """The likeliest targets of each source, best first.

    Args:
        module: the network.
        sources: ids of the tokens.
        batch_size: sources at once.
        steps: tokens at most; twice those of the source and ten more if None.
        width: beginnings that are kept.
        alpha: exponent of the length penalty.
        best: how many to give.
    """
    batches = BucketBatches(
        [len(one) for one in sources], batch_size=batch_size, seed=0, shuffle=False
    )
    found: list[list[Hypothesis]] = [[] for _ in sources]

    def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        log_p, state = module.step(tokens, state)
        # no one asked for what is not known
        log_p[:, UNKNOWN] = -torch.inf
        return log_p, state

    device = module.head.weight.device
    with torch.inference_mode():
        for rows in batches.epoch(0):
            source, lengths = pad([sources[row] for row in rows])
            hypotheses = beam_search(
                step,
                module.read(source.to(device), lengths),
                rows=len(rows),
                start=END,
                end=END,
                steps=steps or 2 * int(lengths.max()) + 10,
                width=width,
                alpha=alpha,
                best=best,
            )
            for row, one in zip(rows, hypotheses, strict=True):
                found[row] = one
    return found


def text_scores(
    sources: Sequence[str], targets: Sequence[str], found: Sequence[str], *, cut: bool
) -> dict[str, float]:
    """How near texts are to what they should be.

    Args:
        sources: what was read; where one comes more than once, each of its targets is right.
        targets: what should be written.
        found: what was written.
        cut: whether the texts are cut into tokens already, so that BLEU takes them as they are.

    Returns:
        "accuracy", the part of different sources whose text is a right one, "bleu" and "chrf".
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    right: dict[str, set[str]] = defaultdict(set)
    for source, target in zip(sources, targets, strict=True):
        right[source].add(target)
    told = dict(zip(sources, found, strict=True))
    bleu = BLEU(tokenize="none" if cut else "13a", force=cut)
    return {
        "accuracy": sum(told[source] in right[source] for source in told) / len(told),
        "bleu": bleu.corpus_score(list(found), [list(targets)]).score,
        "chrf": CHRF().corpus_score(list(found), [list(targets)]).score,
    }


def raw_scores(found: Sequence[str], raw: Sequence[str]) -> dict[str, Any]:
    """How near running texts are to raw ones by sacrebleu's default: "bleu_raw" and its
    "bleu_raw_signature".
    """
    from sacrebleu.metrics.bleu import BLEU

    score = BLEU().corpus_score(list(found), [list(raw)]).score
    return {"bleu_raw": score, "bleu_raw_signature": bleu_signature(cut=False)}


def bleu_signature(*, cut: bool) -> str:
    """What makes BLEU figures comparable.

    Reference:
        Post 2018, https://arxiv.org/abs/1804.08771
    """
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(tokenize="none" if cut else "13a")
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())
