"""One to one: a vector in, a vector out."""

from torch import Tensor, nn

from ._check import check_layers, check_tensor
from ._recurrent import Recurrent


class OneToOne(nn.Module):
    r"""A sequence of a single step: :math:`o = V h + c` with :math:`h` the layers' output for x
    from their first state. A plain network, in the same words as the other shapes.

    Args:
        layers: recurrent layers of `elman.nn`, not `batch_first`.
        outputs: features of the output, O.

    Shape:
        - x: (B, I). Returns (B, O).

    Raises:
        TypeError: the layers are none of `elman.nn`, or x is no tensor.
        ValueError: the layers are `batch_first`.

    Example:
        >>> import torch, elman
        >>> elman.nn.OneToOne(elman.nn.RNN(3, 4), 2)(torch.randn(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(self, layers: Recurrent, outputs: int) -> None:
        super().__init__()
        check_layers("OneToOne", layers)
        self.layers = layers
        self.head = nn.Linear(layers.state_size * layers.num_directions, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """The outputs."""
        check_tensor("OneToOne.forward", "x", x)
        output, _ = self.layers(x[None])
        return self.head(output[0])
