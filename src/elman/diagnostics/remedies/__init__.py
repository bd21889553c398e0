"""What helps against vanishing and exploding gradients; each can be used alone.

Others are arguments elsewhere: `gradient_clip`, `recurrent_dropout`, `residual` and `bptt` of the
layers of `elman.nn`; `clip_norm` and `clip_value` of `elman.train.TrainOptions`.
"""

from ._initial import chrono, forget_bias, identity, is_orthogonal, orthogonal, spectral
from ._orthogonal import keep_orthogonal, project_orthogonal
from ._penalty import flow_penalty

__all__ = [
    "chrono",
    "flow_penalty",
    "forget_bias",
    "identity",
    "is_orthogonal",
    "keep_orthogonal",
    "orthogonal",
    "project_orthogonal",
    "spectral",
]
