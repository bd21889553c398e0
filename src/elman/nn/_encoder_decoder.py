"""Many to many, unaligned: one sequence is read whole, another one is written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.ops import dropout

from ._attention import Attention
from ._bridge import Bridge
from ._check import check_layers, check_tensor
from ._lengths import check_lengths
from ._recurrent import Recurrent

States = tuple[Tensor, ...]


class Writing(NamedTuple):
    """A source that was read, and where the writing of its target stands.

    Args:
        memory: the encoder's outputs, (S, B, M).
        keys: what queries are compared with, (S, B, ·); None without attention.
        lengths: of the sources, (B,).
        lower: the states of the decoder, (L, B, ·) each.
        upper: the states of the layers above the attention; None without such.
    """

    memory: Tensor
    keys: Tensor | None
    lengths: Tensor
    lower: States
    upper: States | None

    def select(self, rows: Tensor) -> Writing:
        """The rows with these numbers; a row may come more than once."""

        def chosen(states: States) -> States:
            return tuple(one.index_select(1, rows) for one in states)

        return Writing(
            self.memory.index_select(1, rows),
            None if self.keys is None else self.keys.index_select(1, rows),
            self.lengths.index_select(0, rows),
            chosen(self.lower),
            None if self.upper is None else chosen(self.upper),
        )


class EncoderDecoder(nn.Module):
    r"""Reads a sequence with one network, and writes another one with a second.

    The encoder's outputs are the memory :math:`m_s`; a bridge makes the decoder's first state of
    the encoder's last one. At each step of the target the decoder reads the token before,
    :math:`d_t = \mathrm{decoder}(y_{t-1}, d_{t-1})`, asks the memory, :math:`c_t =
    \mathrm{attention}(d_t, m)`, and tells the next token from :math:`r_t = \tanh(A [d_t; c_t])`.
    Layers above the attention (`upper`) read :math:`r_t` and add their output to it, so that what
    was found before has a say in what is told next. No layer's input depends on its own output, so
    a known target is read in one call of each layer.

    Args:
        encoder: recurrent layers that read the source; those of both directions see all of it. If
            several are given, each reads what the one before it puts out.
        decoder: recurrent layers of one direction that read the target.
        sources: tokens of the source; None if its steps are vectors of `encoder.input_size`.
        targets: tokens of the target.
        attention: "additive", "multiplicative", or None: the bridge alone tells of the source.
        upper: recurrent layers of one direction, as wide as their input; None for none.
        dropout: on embeddings, between encoders, and on what the next token is told from.
        tied: whether the output's weights are the target's embeddings.

    Shape:
        - source: (S, B) tokens, or (S, B, I); lengths: (B,) from 0 to S: an empty source is no
          memory, and the bridge reads zeros.
        - target: (T, B) tokens.
        - Returns the scores of the next token, (T, B, targets).

    Raises:
        TypeError: layers are none of `elman.nn`, source or target is no tensor, or lengths are no
            whole numbers.
        ValueError: layers do not fit each other, or lengths are not one from 0 to S for each row.

    Reference:
        Sutskever, Vinyals & Le 2014, https://arxiv.org/abs/1409.3215; Bahdanau, Cho & Bengio 2015,
        https://arxiv.org/abs/1409.0473; layers above the attention: Wu et al. 2016,
        https://arxiv.org/abs/1609.08144.

    Example:
        >>> import torch, elman
        >>> model = elman.nn.EncoderDecoder(
        ...     elman.nn.GRU(8, 16, bidirectional=True), elman.nn.GRU(8, 16), sources=20, targets=30
        ... )
        >>> source, lengths = torch.randint(20, (7, 3)), torch.tensor([7, 4, 5])
        >>> model(source, lengths, torch.randint(30, (5, 3))).shape
        torch.Size([5, 3, 30])
    """

    def __init__(
        self,
        encoder: Recurrent | Sequence[Recurrent],
        decoder: Recurrent,
        *,
        sources: int | None,
        targets: int,
        attention: str | None = "multiplicative",
        upper: Recurrent | None = None,
        dropout: float = 0.0,
        tied: bool = False,
    ) -> None:
        super().__init__()
        encoders = [encoder] if isinstance(encoder, Recurrent) else _several(encoder)
        _check(encoders, decoder, upper)
        *below, encoder = encoders
        self.below_encoder = nn.ModuleList(below)
        self.encoder, self.decoder, self.upper = encoder, decoder, upper
        self.dropout = dropout
        self.source = None if sources is None else nn.Embedding(sources, encoders[0].input_size)
        self.target = nn.Embedding(targets, decoder.input_size)
        read, told = encoder.state_size * encoder.num_directions, decoder.state_size
        self.bridge = Bridge(read, decoder)
        self.upper_bridge = None if upper is None else Bridge(read, upper)
        size = upper.input_size if upper is not None else told
        self.attention = None if attention is None else Attention(attention, told, read)
        self.mix = nn.Linear(told + (read if attention else 0), size)
        self.head = nn.Linear(size, targets)
        if tied:
            if size != decoder.input_size:
                raise ValueError(
                    f"EncoderDecoder: tied=True, but embeddings have {decoder.input_size} features"
                    f" and the output reads {size}; give layers where they are equal."
                )
            self.head.weight = self.target.weight

    def read(self, source: Tensor, lengths: Tensor) -> Writing:
        """Reads sources; nothing is written yet."""
        check_tensor("EncoderDecoder.read", "source", source)
        lengths = check_lengths("EncoderDecoder.read", lengths, source, "the source")
        x = source if self.source is None else self.source(source)
        for layers in self.below_encoder:
            x = layers(self._dropped(x), lengths=lengths)[0]
        memory, final = self.encoder(self._dropped(x), lengths=lengths)
        h = final[0] if isinstance(final, tuple) else final
        # the last layer's final states, of both directions
        vector = torch.cat([*h[-self.encoder.num_directions :]], -1)
        return Writing(
            memory,
            None if self.attention is None else self.attention.keys(memory),
            lengths.to(memory.device),
            self.bridge(vector),
            None if self.upper_bridge is None else self.upper_bridge(vector),
        )

    def forward(
        self,
        source: Tensor,
        lengths: Tensor,
        target: Tensor,
        target_lengths: Tensor | None = None,
    ) -> Tensor:
        """The scores of each next token, where the tokens before are those of a known target."""
        return self.write(self.read(source, lengths), target, target_lengths)[0]

    def write(
        self, at: Writing, target: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Writing, Tensor | None]:
        """Reads known tokens (T, B) of targets.

        Returns:
            The scores (T, B, targets), where the writing then stands, and the attention's weights
            (T, B, S), or None without attention.
        """
        told, at, weights = self.features(at, target, lengths)
        return self.head(told), at, weights

    def features(
        self, at: Writing, target: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Writing, Tensor | None]:
        """As `write`, but what the output layer `head` reads, (T, B, ·), instead of the scores."""
        check_tensor("EncoderDecoder.write", "target", target)
        x = self._dropped(self.target(target))
        output, lower = _run(self.decoder, x, at.lower, lengths)
        weights = None
        if self.attention is not None:
            context, weights = self.attention(output, at.memory, at.lengths, at.keys)
            output = torch.cat([output, context], -1)
        told, upper = torch.tanh(self.mix(output)), at.upper
        if self.upper is not None and upper is not None:
            above, upper = _run(self.upper, self._dropped(told), upper, lengths)
            told = told + above
        return self._dropped(told), at._replace(lower=lower, upper=upper), weights

    def step(self, tokens: Tensor, at: Writing) -> tuple[Tensor, Writing]:
        """The log-probabilities (B, targets) of the token behind these (B,)."""
        scores, at, _ = self.write(at, tokens[None])
        return scores[0].log_softmax(-1), at

    def unroll(
        self,
        source: Tensor,
        lengths: Tensor,
        target: Tensor,
        *,
        teacher: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """As `forward`, step by step: each step reads the true token with probability `teacher`,
        else the one that the model told before (scheduled sampling; free running with 0).

        Reference:
            Bengio et al. 2015, https://arxiv.org/abs/1506.03099
        """
        at, told, all_scores = self.read(source, lengths), target[0], []
        for step in range(len(target)):
            if step > 0:
                true = torch.rand(target.shape[1], generator=generator) < teacher
                told = torch.where(true.to(target.device), target[step], told)
            scores, at, _ = self.write(at, told[None])
            all_scores.append(scores[0])
            told = scores[0].detach().argmax(-1)
        return torch.stack(all_scores)

    def _dropped(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training) if self.dropout else x


def _run(layers: Recurrent, x: Tensor, state: States, lengths: Tensor | None) -> tuple[Any, States]:
    # layers with one state take and give it bare, as torch's do
    bare = next(iter(state)) if len(state) == 1 else state
    output, hx = layers(x, bare, lengths=lengths)
    return output, hx if isinstance(hx, tuple) else (hx,)


def _several(encoders: Sequence[Recurrent]) -> list[Recurrent]:
    # the caller may give anything
    if not isinstance(encoders, Sequence | nn.ModuleList):  # pyright: ignore[reportUnnecessaryIsInstance]
        check_layers("EncoderDecoder", encoders)
    return [*encoders]


def _check(encoders: list[Recurrent], decoder: Recurrent, upper: Recurrent | None) -> None:
    if not encoders:
        raise ValueError("EncoderDecoder: no encoder; give at least one.")
    for layers in (*encoders, decoder, *([] if upper is None else [upper])):
        check_layers("EncoderDecoder", layers)
    for lower, above in pairwise(encoders):
        width = lower.state_size * lower.num_directions
        if above.input_size != width:
            raise ValueError(
                f"EncoderDecoder: an encoder puts out {width} features and the one above it reads"
                f" {above.input_size}; give as many."
            )
    for name, layers in (("decoder", decoder), ("upper", upper)):
        if layers is not None and layers.num_directions > 1:
            raise ValueError(
                f"EncoderDecoder: the {name} is bidirectional, and what comes later is not known"
                " yet; give layers of one direction."
            )
    if upper is not None and upper.input_size != upper.state_size:
        raise ValueError(
            f"EncoderDecoder: the upper layers read {upper.input_size} features and put out"
            f" {upper.state_size}; give as many."
        )
