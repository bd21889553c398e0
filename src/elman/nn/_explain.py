"""Which backend runs a layer, and why not the others."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.ops import Choice, choose

from ._recurrent import Recurrent


@dataclass(frozen=True)
class Explanation:
    """Which backend runs each layer and direction of a call; printing it gives a line for each.

    Args:
        choices: the choice for each layer and direction, layers first.
        directions: D of the layer.
    """

    choices: list[Choice]
    directions: int

    def __str__(self) -> str:
        lines: list[str] = []
        for index, choice in enumerate(self.choices):
            layer, direction = divmod(index, self.directions)
            way = " reverse" if direction else ""
            others = "; ".join(f"not {name}: {why}" for name, why in choice.reasons.items())
            chosen = choice.backend
            if choice.wider is not None:
                chosen += f" by way of float32 ({choice.wider})"
            lines.append(f"layer {layer}{way}: {chosen} ({others})")
        return "\n".join(lines)


def explain(
    layer: nn.Module,
    input: Tensor | PackedSequence,
    hx: Any = None,
    *,
    lengths: Tensor | None = None,
    resets: Tensor | None = None,
) -> Explanation:
    """Says which backend runs a layer on an input, and why not the others; nothing is run.

    Args:
        layer: an `elman.nn.RNN`, `GRU` or `LSTM`.
        input: as for its `forward`.
        hx: as for its `forward`.
        lengths: as for its `forward`.
        resets: as for its `forward`.

    Raises:
        TypeError: the layer is none of ours.
        elman.ops.BackendError: the layer's forced backend cannot run the input.

    Example:
        >>> import torch, elman
        >>> gru = elman.nn.GRU(3, 4, reset_gate="before", backend="reference")
        >>> elman.explain(gru, torch.randn(5, 2, 3)).choices[0].reasons["torch"]
        "torch's GRU has its reset gate after the product"
    """
    if not isinstance(layer, Recurrent):
        raise TypeError(
            f"explain: {type(layer).__name__} is no layer of elman.nn; give an RNN, GRU or LSTM."
            " elman.nn.convert makes one of torch's."
        )
    choices = [choose(call, layer.backend) for call in layer.calls(input, hx, lengths, resets)]
    return Explanation(choices, layer.num_directions)
