"""What Python and C++ call alike: the flags of a call of tensors, and what the kernels answer."""

# native/tensors.h, CallReader::Flag
BATCH_FIRST, REVERSE, CHECKPOINTED, NO_GRADIENT = 1, 2, 4, 8
LAYER, SAVE, WHOLE = 16, 32, 64
# native/call.h, enum Status, and native/scan.h
NO_MEMORY, BAD_LENGTH, NOT_PLAIN = 1, 2, 3
