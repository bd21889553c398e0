"""The network of a language model, and how it is trained and measured."""

from typing import Any

import torch
from torch import Tensor, nn

from elman.data import StreamWindows, Window
from elman.ops import dropout
from elman.train import Loss, scan_window

from ._options import ModelOptions, make_layers
from ._token_loss import sampled_token_loss, token_loss


class LanguageNetwork(nn.Module):
    """Embedding, recurrent layers, and the scores of the next token.

    Args:
        options: of the recurrent layers.
        tokens: size of the vocabulary.
        embedding_size: features of a token.
        tied: whether the output layer's weights are the embedding's (Press & Wolf 2017,
            arXiv:1608.05859).
        candidates: tokens that a step of the training scores, see `sampled_token_loss`; None for
            all.
    """

    def __init__(
        self,
        options: ModelOptions,
        tokens: int,
        embedding_size: int,
        *,
        tied: bool,
        candidates: int | None = None,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, embedding_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.layers = make_layers(options, embedding_size)
        width = options.hidden_size
        self.narrow = nn.Linear(width, embedding_size) if tied and width != embedding_size else None
        self.head = nn.Linear(embedding_size if tied else width, tokens)
        nn.init.zeros_(self.head.bias)
        if tied:
            self.head.weight = self.embedding.weight
        self.input_dropout, self.dropout = options.input_dropout, options.dropout
        self.candidates = candidates

    def features(self, tokens: Tensor, hx: Any, *, resets: Tensor | None) -> tuple[Tensor, Any]:
        """The outputs of the recurrent layers, (T, B, H), and their state, for tokens (T, B)."""
        x = self.embedding(tokens)
        if self.training and self.input_dropout:
            # the same features are gone at every step of the window (Gal & Ghahramani 2016)
            x = x * dropout(torch.ones_like(x[:1]), self.input_dropout)
        return self.layers(x, hx, resets=resets)

    def scores(self, features: Tensor) -> Tensor:
        """The scores of the next token, (..., tokens)."""
        return self.head(self._narrowed(features))

    def loss(self, features: Tensor, target: Tensor) -> Tensor:
        """The mean surprise of the next tokens, (T, B), in nats; in training an estimate of it, if
        only candidates are scored.
        """
        given = self._narrowed(features).flatten(0, 1), self.head.weight, self.head.bias
        if self.training and self.candidates is not None:
            return sampled_token_loss(*given, target.flatten(), self.candidates)
        return token_loss(*given, target.flatten())

    def _narrowed(self, features: Tensor) -> Tensor:
        features = dropout(features, self.dropout, self.training)
        return features if self.narrow is None else self.narrow(features)


class NextToken:
    """Trains a network to tell the next token.

    Args:
        module: the network.
        detach_every: steps between cuts of the gradient inside a window, or None.
    """

    def __init__(self, module: LanguageNetwork, detach_every: int | None = None) -> None:
        self.module, self.detach_every = module, detach_every

    def loss(self, batch: Window, carry: Any) -> Loss:
        """The mean surprise of a window's new tokens, in nats."""
        device = self.module.head.weight.device
        features, carry = scan_window(
            self.module.features,
            batch.input.to(device),
            carry,
            resets=batch.resets,
            context=batch.context,
            next_context=batch.next_context,
            detach_every=self.detach_every,
        )
        target = batch.target[batch.context :].to(device)
        value = self.module.loss(features, target)
        return Loss(value, target.numel(), carry, target.numel())


def surprise(module: LanguageNetwork, windows: StreamWindows) -> tuple[float, int]:
    """The mean surprise of a corpus's tokens, in nats, and how many there are."""
    objective, carry, total, count = NextToken(module), None, 0.0, 0
    with torch.no_grad():
        for window in windows.epoch(0):
            loss = objective.loss(window, carry)
            carry, count = loss.carry, count + loss.items
            total += float(loss.value) * loss.items
    return total / count, count
