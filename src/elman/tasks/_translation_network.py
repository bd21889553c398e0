"""Many to many, unaligned: the network of a translator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elman.nn import EncoderDecoder, Recurrent
from elman.ops import is_whole

from ._options import make_layers

if TYPE_CHECKING:
    from ._translator import Translator


def translation_network(options: Translator, sources: int, targets: int) -> EncoderDecoder:
    """An encoder, a decoder that asks it by attention, and the layers above.

    Args:
        options: what is known of the network.
        sources: tokens of the source's vocabulary.
        targets: tokens of the target's.
    """
    size, width, upper = options.embedding_size, options.hidden_size, None
    if options.upper_layers:
        upper = make_layers(options, width, num_layers=options.upper_layers)
    network = EncoderDecoder(
        _encoders(options),
        make_layers(options, size, num_layers=options.decoder_layers),
        sources=sources,
        targets=targets,
        attention=None if options.attention == "none" else options.attention,
        upper=upper,
        dropout=options.dropout,
        tied=options.tied,
    )
    if options.tied:
        # the output's weights too: scores of about one
        torch.nn.init.normal_(network.target.weight, std=size**-0.5)
    return network


def _encoders(options: Translator) -> list[Recurrent]:
    """The encoder's layers: all in one where they are as wide, else one by one."""
    sizes, size, both = options.encoder_size, options.embedding_size, options.bidirectional
    if sizes is None or isinstance(sizes, int):
        return [make_layers(options, size, hidden_size=sizes, bidirectional=both)]
    found: list[Recurrent] = []
    for hidden in sizes:
        layers = make_layers(options, size, hidden_size=hidden, num_layers=1, bidirectional=both)
        size = layers.state_size * layers.num_directions
        found.append(layers)
    return found


def check_sizes(options: Translator, where: str) -> None:
    """Refuses sizes that no encoder has, and those that do not fit each other.

    Raises:
        ValueError: there are such.
    """
    sizes, layers = options.encoder_size, options.num_layers
    if isinstance(sizes, list | tuple):
        fits = len(sizes) == layers and all(map(is_whole, sizes))
    else:
        fits = sizes is None or is_whole(sizes)
    if not fits:
        raise ValueError(
            f"{where}: encoder_size={sizes!r}; give a whole number above zero, or one for each of"
            f" num_layers={layers}."
        )
    if options.upper_layers != 0 and not is_whole(options.upper_layers):
        raise ValueError(
            f"{where}: upper_layers={options.upper_layers!r}; give a whole number, 0 for none."
        )
    if options.tied and options.hidden_size != options.embedding_size:
        raise ValueError(
            f"{where}: tied=True with hidden_size={options.hidden_size} and"
            f" embedding_size={options.embedding_size}; give equal ones."
        )
