// What one instruction set's kernels offer.
#pragma once

#include "call.h"

namespace elman {

struct Kernels {
  const char* name;
  int64_t vector_bytes;
  int (*forward)(const Call&);
  int (*backward)(const Call&);
  // the cells and nonlinearities one after another; null behind the last
  const Cell* (*cell)(int64_t index, const char** name);
  const Activation* (*activation)(int64_t index, const char** name);
  // one word of the cells on n numbers of so many bytes, in place; false if there is none
  bool (*word)(const char* name, void* numbers, int64_t n, int64_t bytes);
};

}  // namespace elman
