"""One number for each type and direction; a change needs its reason in the commit."""

import torch

TOLERANCES = {
    (torch.float64, "forward"): 1e-12,
    (torch.float64, "backward"): 1e-11,
    (torch.float32, "forward"): 2e-6,
    # sums over steps and rows, relative to gradients of size 1 to 10
    (torch.float32, "backward"): 2e-5,
}


def assert_close(actual, expected, direction="forward", what=""):
    bound = TOLERANCES[expected.dtype, direction]
    torch.testing.assert_close(
        actual, expected, rtol=bound, atol=bound, msg=lambda text: f"{what}: {text}"
    )
