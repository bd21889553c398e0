"""Small trainings that the tests of the loop share."""

import signal

import torch
from torch import nn

from elman.train import Loss, Run, detach, fit, seed


class Copy:
    """Batches of random sequences, in an order that depends on the epoch alone."""

    def __init__(self, count=6, rows=4):
        self.count, self.rows = count, rows

    def __len__(self):
        return self.count

    def epoch(self, epoch, start=0):
        for index in range(start, self.count):
            generator = torch.Generator().manual_seed(1000 * epoch + index)
            yield torch.randn(5, self.rows, 3, generator=generator)


class Stopping(Copy):
    """The same, interrupted in the middle of the third epoch."""

    def epoch(self, epoch, start=0):
        for index, batch in enumerate(super().epoch(epoch, start), start):
            if (epoch, index) == (2, 3):
                signal.raise_signal(signal.SIGINT)
            yield batch


class Memory:
    """An LSTM with dropout that carries its state from batch to batch."""

    def __init__(self, dropout=0.5, carry=True):
        self.module = nn.ModuleDict({"lstm": nn.LSTM(3, 6), "out": nn.Linear(6, 3)})
        self.dropout, self.carry = dropout, carry

    def loss(self, batch, carry):
        output, state = self.module["lstm"](batch, carry)
        output = nn.functional.dropout(output, self.dropout, self.module.training)
        value = ((self.module["out"](output) - batch) ** 2).mean()
        return Loss(value, batch.shape[1], detach(state) if self.carry else None, batch.shape[1])


def weights(objective):
    return torch.cat([p.detach().flatten() for p in objective.module.parameters()])


def train(options, run=None, batches=None, **kwargs):
    seed(options.random_state)
    objective = Memory()
    history = fit(objective, batches or Copy(), options=options, run=run, **kwargs)
    return weights(objective), history


def start(path):
    return Run.start(path, task="memory", params={}, data={})
