"""One number for each type and direction; a change needs its reason in the commit."""

import torch

TOLERANCES = {
    (torch.float64, "forward"): 1e-12,
    (torch.float64, "backward"): 1e-11,
    (torch.float32, "forward"): 2e-6,
    # sums over steps and rows, relative to gradients of size 1 to 10
    (torch.float32, "backward"): 2e-5,
    # two units in the last place of the largest number: what products take is rounded (the state
    # in every step, the gates' gradients), what is saved, and what is put out
    (torch.bfloat16, "forward"): 2**-6,
    (torch.bfloat16, "backward"): 2**-6,
}


def assert_close(actual, expected, direction="forward", what=""):
    bound = TOLERANCES[expected.dtype, direction]
    torch.testing.assert_close(
        actual, expected, rtol=bound, atol=bound, msg=lambda text: f"{what}: {text}"
    )


def assert_near(low, wide, direction="forward", what=""):
    """Numbers in bfloat16 against float32, relative to the largest one."""
    assert low.dtype == torch.bfloat16
    bound = TOLERANCES[low.dtype, direction] * wide.abs().max().clamp_min(1e-3)
    worst = (low.float() - wide).abs().max()
    assert worst <= bound, f"{what}: {worst} is more than {bound}"
