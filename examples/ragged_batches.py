"""A ragged batch gives each row what it would give alone, in any order of lengths."""

import torch

import elman

torch.manual_seed(0)
layer = elman.nn.LSTM(3, 5, bidirectional=True)
lengths = torch.tensor([2, 7, 0, 4])
x = torch.randn(7, 4, 3)
output, (h, c) = layer(x, lengths=lengths)
for row, length in enumerate(lengths.tolist()):
    alone, _ = layer(x[:length, row])
    difference = (output[:length, row] - alone).abs().sum()
    print(f"row {row}, {length} steps, difference {difference:.1e}")
