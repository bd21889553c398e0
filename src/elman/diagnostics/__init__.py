"""Pictures of a training."""

from ._curves import plot_losses

__all__ = ["plot_losses"]
