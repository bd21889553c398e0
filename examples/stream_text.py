"""Text that appears as it is made."""

import elman

text = "the sea is wide and the sea is deep, and the sky above the sea is wide. " * 40
model = elman.LanguageModel(hidden_size=64, epochs=5, bptt=32, batch_size=8, lr=0.01).fit([text])
for piece in model.stream("the", length=60, temperature=0.5, seed=0):
    print(piece, end="", flush=True)
print()
