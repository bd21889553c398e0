"""bfloat16 by way of float32, where nothing multiplies it as it is."""

from collections.abc import Callable

from torch import Tensor, bfloat16

from elman.kernels import Call, tensors_of, with_tensors

Scan = Callable[[Call], tuple[list[Tensor], tuple[Tensor, ...]]]


def in_float32(call: Call, scan: Scan) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Runs a call whose numbers are read and written in bfloat16; sums and states in between are
    float32. A call in another dtype runs as it is.
    """
    if call.input.dtype is not bfloat16:
        return scan(call)
    wide = with_tensors(call, [t if t is None else t.float() for t in tensors_of(call)])
    (output,), after = scan(wide)
    return [output.bfloat16()], tuple(s.bfloat16() for s in after)
